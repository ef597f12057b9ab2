"""From a trained ANN to a spiking network."""
