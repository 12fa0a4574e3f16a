"""Passwords, password recovery, second factors, API keys and external identities."""
