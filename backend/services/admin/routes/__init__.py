"""HTTP: what administrators ask for."""
