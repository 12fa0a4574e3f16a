"""The route table: which service receives a request target, and with which limits."""
