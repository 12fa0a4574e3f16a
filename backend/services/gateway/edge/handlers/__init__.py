"""Handlers of one request: proxied to a service, as a WebSocket tunnel, or by the Flask app."""
