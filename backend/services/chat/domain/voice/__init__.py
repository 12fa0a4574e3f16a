"""Voice messages, spoken answers and calls."""
