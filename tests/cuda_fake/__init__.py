"""Training steps on fake CUDA tensors: no driver and no device is needed, only the CUDA build of torch."""
