"""What the system does: one folder, one process each."""
