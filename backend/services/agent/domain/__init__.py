"""What the agent does, in plain Python."""
