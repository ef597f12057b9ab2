"""The format ``c-float``: the hub graph in float32 as C99 source."""
