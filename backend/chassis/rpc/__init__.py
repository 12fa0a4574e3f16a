"""gRPC servers and client channels. Only processes that use gRPC import the modules here."""
