"""Process supervisor, installer, doctor, backup and restore, model download."""
