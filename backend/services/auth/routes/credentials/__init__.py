"""Routes of API keys, second factors, password recovery and external identities."""
