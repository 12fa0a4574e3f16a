"""Routes for the administration of users, roles, tenants and members, and statistics."""
