"""Detection and recognition of text lines in images with Pillow, numpy and onnxruntime."""
