"""Strict HTTP/1.1 parsing and writing (RFC 9112) for the asyncio services.

Pure functions and classes over bytes, without sockets. Ambiguous input is rejected, never
repaired: another server could interpret it differently (request smuggling).
"""
