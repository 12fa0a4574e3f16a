"""Clients of the gateway: connections to upstream services, and Redis."""
