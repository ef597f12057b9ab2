"""Placement onto the cores of a chip; each module has one chip's formulas."""
