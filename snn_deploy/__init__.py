"""snn-deploy: distil spiking networks, export them, prove the export, price it."""

__version__ = "0.1.0"
