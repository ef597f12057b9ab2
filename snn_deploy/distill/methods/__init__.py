"""Distillation methods: one file each, and the losses they are made of."""
