"""Pure functions that turn the webhooks of each channel into events."""
