"""Maintenance: consistency check, reindexing, export and import, vectors in backups."""
