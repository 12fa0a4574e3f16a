"""Small servers that behave as the channels' providers document it, faults included."""
