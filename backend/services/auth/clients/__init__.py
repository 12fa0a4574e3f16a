"""Clients of mail servers and OpenID providers."""
