"""Everyone who is asked for counts."""
