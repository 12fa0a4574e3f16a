"""Building blocks that every service uses. Knows no service."""
