"""Consumer of the domain events of other services."""
