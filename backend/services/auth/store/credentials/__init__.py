"""Tables of API keys, second factors, password resets and external identities."""
