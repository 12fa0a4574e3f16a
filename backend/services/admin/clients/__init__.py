"""Clients of the services whose statistics are merged."""
