"""Business rules of the agent service."""
