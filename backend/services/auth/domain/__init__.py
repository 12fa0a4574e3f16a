"""Business rules of accounts, authentication and administration."""
