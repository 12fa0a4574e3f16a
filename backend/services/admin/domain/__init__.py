"""How the services' counts become one overview."""
