"""Command line: thin commands that call the public API and render its results."""
