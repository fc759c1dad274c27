"""THE exporter: a trained model -> a folder of ONNX graphs that were checked against torch, and a sampler over them."""
