"""Building blocks that every service uses. Imports no service."""
