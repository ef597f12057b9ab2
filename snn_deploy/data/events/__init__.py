"""From event recordings to frames."""
