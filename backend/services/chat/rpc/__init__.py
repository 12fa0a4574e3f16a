"""gRPC methods of the chat service."""
