"""What a recipe may say of its data."""
