"""Recipes, what a sweep may vary in them, and the folders that runs leave."""
