"""Modules of torch and of the libraries of spiking networks as nodes of the hub, one file per library."""
