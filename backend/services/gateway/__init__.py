"""The gateway, the only public service: authentication, rate limits, routing, load balancing.

It owns no data except its route table. All external clients call it; it calls every service.
"""
