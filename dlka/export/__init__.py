"""Models as files for other programs: ONNX, TorchScript and torch.export, each checked before it is kept."""
