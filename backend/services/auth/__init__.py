"""Who people are and what they may do: accounts, sessions, tenants and the keys that sign.

It owns users, tenants, memberships, sessions and the audit trail, and is the only
one that can sign an access token. Everyone reaches it through the gateway; the
other services fetch its public keys and are told which sessions have ended, and
never ask it whether a token is good.
"""
