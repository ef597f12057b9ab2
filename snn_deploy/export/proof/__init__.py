"""The proof of an exported file: what rounding explains, what was exercised, and the verdict."""
