"""Encryption at rest: data keys for each tenant, encrypted columns and encrypted files.

Values are encrypted with data keys. A master key, which is not stored in the database, wraps them
(envelope encryption).
"""
