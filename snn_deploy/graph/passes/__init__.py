"""Passes over the hub graph; each is one function from graph to graph."""
