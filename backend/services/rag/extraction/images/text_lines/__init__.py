"""Detection and recognition of text lines in images, on Pillow, numpy and onnxruntime."""
