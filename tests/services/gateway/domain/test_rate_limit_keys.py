"""Counters of rate limits."""

from backend.security.limits import Limit
from backend.services.gateway.domain.rate_limits import RateLimitSubject, build_charges
from backend.services.gateway.domain.routing.route_table import RateLimitRule, Route


def test_limit_by_path_counts_each_path_alone_and_no_address():
    rule = RateLimitRule("webhook", Limit.parse("6000/minute burst 2000"), "path")
    route = Route("webhook", "/webhook", ("http://127.0.0.1:1",), limits=(rule,))

    def key(path, address):
        (charge,) = build_charges(route, path, RateLimitSubject(address))
        return charge.key

    assert key("/webhook/slack/a", "192.0.2.1") == key("/webhook/slack/a", "192.0.2.2")
    assert key("/webhook/slack/a", "192.0.2.1") != key("/webhook/slack/b", "192.0.2.1")
