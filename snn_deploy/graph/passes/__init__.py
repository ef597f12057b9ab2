"""Passes from one form of a network to another: :mod:`snn_deploy.graph.passes.protocol`."""
