"""Networks become hub graphs: from torch modules and from files that nobody vouches for."""
