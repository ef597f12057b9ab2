"""What the functions of the public API do, one file each."""
