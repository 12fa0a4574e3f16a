"""What administrators do: users, roles, tenants and their members."""
