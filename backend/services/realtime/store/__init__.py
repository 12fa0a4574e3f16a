"""Tables and queries of the realtime service."""
