"""Exact counting of synaptic events, and pricing by profile."""
