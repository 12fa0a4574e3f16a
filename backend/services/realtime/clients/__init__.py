"""The brokers that store and distribute publications, and calls to other services."""
