"""Augmentation, mixing and encoding of batches."""
