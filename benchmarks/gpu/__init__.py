"""The first quarter of an hour on a machine with a GPU."""
