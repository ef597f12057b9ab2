"""The hub: a NIR graph with discrete-time semantics, and the passes over it."""
