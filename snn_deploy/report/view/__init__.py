"""What the templates draw: texts already formatted, positions already in percent."""
