"""The loops of the simulators, compiled: arrays in, arrays out."""
