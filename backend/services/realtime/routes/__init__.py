"""HTTP routes of the realtime service."""
