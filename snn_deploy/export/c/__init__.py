"""The format ``c``: one C99 source file that computes what the integer network computes."""
