"""Searches over the fields of a recipe for accuracy and energy at once."""
