"""What administrators ask for: users, roles, tenants and their members."""
