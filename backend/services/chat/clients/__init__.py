"""Calls to the agent, to auth, to providers of channels and to the Redis-compatible server."""
