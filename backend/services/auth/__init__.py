"""Accounts, authentication, sessions, tenants and roles.

The service owns users, tenants, memberships, sessions, API keys and the audit log, and is
the only one that signs access tokens. Clients reach it through the gateway. Other services
fetch its public keys and receive revocations through Redis, so they verify tokens without
calling it.
"""
