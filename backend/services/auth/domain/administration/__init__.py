"""Administration of users, credentials, roles, tenants and members."""
