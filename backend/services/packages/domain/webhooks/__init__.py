"""Webhooks of tracking providers: signatures, payloads, and the deliveries that are stored."""
