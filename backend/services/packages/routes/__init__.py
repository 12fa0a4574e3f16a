"""Routes of the packages service."""
