"""The admin service: statistics of the whole system, current and by day.

It owns no tables. Each service counts its own data; this service requests all counts with the
caller's permissions and merges them. Administrators call it through the gateway.
"""
