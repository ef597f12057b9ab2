"""Samples on their way to a network: order, cache, decoding, memory."""
