"""Spiking neurons in training: one equation, written out in torch and as kernels of a GPU."""
