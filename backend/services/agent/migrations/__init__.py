"""How the agent's tables came to be."""
