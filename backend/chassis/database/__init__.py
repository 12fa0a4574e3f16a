"""Database engines, sessions, migrations, row-level security and PostgreSQL roles."""
