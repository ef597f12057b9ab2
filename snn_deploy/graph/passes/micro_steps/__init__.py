"""Whole-number neurons as binary ones that take several micro-steps for a step."""
