"""Tables and queries of the packages service."""
