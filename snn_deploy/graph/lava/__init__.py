"""lava-dl's ``.net`` files: their typed model, reading and writing, and Lava's rules."""
