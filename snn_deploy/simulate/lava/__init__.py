"""Lava as a backend: its environment, and the worker process that alone imports it."""
