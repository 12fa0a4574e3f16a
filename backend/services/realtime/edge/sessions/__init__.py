"""The protocols that clients use on an open connection."""
