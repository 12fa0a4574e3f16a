"""gRPC handlers of the auth service. They use the functions and schemas of the routes."""
