"""Pure functions that turn the webhooks of messaging channels into events of one shape."""
