"""Forwarding policy: routes, headers, limits and retries. No sockets and no web framework."""
