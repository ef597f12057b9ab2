"""Backends that execute a graph or an exported file."""
