"""Peers whose packages clash with ours, each in an environment of its own, reached through files."""
