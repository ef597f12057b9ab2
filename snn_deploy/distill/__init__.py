"""Distillation methods and the trainer."""
