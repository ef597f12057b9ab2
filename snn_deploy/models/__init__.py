"""Teachers and students, by name."""
