"""gRPC handlers of the agent service. They use the functions and schemas of the routes."""
