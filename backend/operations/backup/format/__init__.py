"""Content of a backup file: archive, encryption, manifest, and rows at a schema revision."""
