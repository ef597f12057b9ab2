"""From the hub graph to a chain that a ``.net`` file can say, and back."""
