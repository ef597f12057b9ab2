"""Synaptic events of weights and activity: plain tensors in, exact whole numbers out."""
