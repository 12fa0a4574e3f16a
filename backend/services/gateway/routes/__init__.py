"""HTTP routes of the Flask app: forwarding, health, index, metrics, statistics."""
