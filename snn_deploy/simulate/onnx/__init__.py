"""ONNX files in ONNX Runtime, as they are and opened up."""
