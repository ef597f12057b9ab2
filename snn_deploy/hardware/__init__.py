"""Chip profiles, their constraints, and placement."""
