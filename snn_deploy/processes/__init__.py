"""Several processes as one: their ranks, and each one's share of a batch."""
