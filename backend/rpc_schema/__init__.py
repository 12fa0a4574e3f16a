"""Generated code of the gRPC interface in `proto/`: `python proto/generate.py` writes it."""
