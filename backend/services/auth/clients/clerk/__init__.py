"""Clerk as an identity provider: verification of session tokens, keys and user profiles."""
