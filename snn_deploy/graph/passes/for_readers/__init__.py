"""NIR files in the form that other people's readers execute exactly."""
