"""The admin service: statistics of the whole system, and administration of users and of chat.

It owns no tables. Each service counts its own data; this service requests all counts with the
caller's permissions and merges them. Requests about users and chat are forwarded to the services
that own them. Administrators call it through the gateway.
"""
