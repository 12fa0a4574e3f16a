"""Tables and queries of the agent service, and the stored events of runs."""
