"""The service's own tables and the questions it asks of them."""
