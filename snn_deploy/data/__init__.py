"""Data sets, event pipeline and loaders."""
