"""Merging of the services' statistics."""
