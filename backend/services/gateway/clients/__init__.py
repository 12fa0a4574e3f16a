"""Everyone the gateway asks: the services behind it, and Redis."""
