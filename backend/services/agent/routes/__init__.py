"""HTTP in, HTTP out: who may ask the agent, in what shape."""
