"""From real weights to the integers of a chip."""
