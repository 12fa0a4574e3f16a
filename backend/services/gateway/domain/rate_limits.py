"""Rate-limit charges of a request, and the response headers about limits.

The `RateLimit` and `RateLimit-Policy` headers follow the IETF draft
draft-ietf-httpapi-ratelimit-headers.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.security.limits import Charge, RateLimitDecision
from backend.security.redis import redis_key
from backend.services.gateway.domain.routing.route_table import RateLimitRule, Route

_KEY_PREFIX = redis_key("gateway", "limit", "")
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class RateLimitSubject:
    """Caller that requests are charged to; user and tenant are None for anonymous callers."""

    address: str
    user: str | None = None
    tenant: str | None = None


def build_charges(route: Route, path: str, subject: RateLimitSubject) -> list[Charge]:
    """Return one charge for each limit that applies to a request for *path*."""
    charges = []
    for rule in route.select_rules(path):
        key = _build_key(route, rule, path, subject)
        if key is not None:
            charges.append(Charge(rule.name, key, rule.rate))
    return charges


def build_token_charges(route: Route, path: str, subject: RateLimitSubject) -> list[Charge]:
    """Return the model tokens to reserve for a request, before its actual usage is known."""
    rule = route.tokens
    if rule is None or subject.user is None or not route.counts_tokens(path):
        return []
    return [
        Charge(
            f"tokens-{rate.period_seconds}s",
            f"{_KEY_PREFIX}tokens:{rate.period_seconds}:{subject.user}",
            rate,
            min(rule.reserve, rate.burst),
        )
        for rate in rule.rates
    ]


def _build_key(
    route: Route, rule: RateLimitRule, path: str, subject: RateLimitSubject
) -> str | None:
    """Return the Redis key of the counter, or None if *rule* does not apply to *subject*."""
    # A rule without paths has one counter for all routes; a rule with paths has one per path.
    prefix = f"{_KEY_PREFIX}{rule.name}:"
    if rule.paths:
        prefix += f"{route.name}{path}:"
    if rule.by == "path":
        return f"{prefix}{route.name}{path}"
    if rule.by == "route":
        return f"{prefix}{route.name}"
    if rule.by == "tenant":
        return None if subject.tenant is None else f"{prefix}tenant:{subject.tenant}"
    if rule.by == "caller" and subject.user is not None:
        return f"{prefix}user:{subject.user}"
    return f"{prefix}address:{subject.address}"


def rate_limit_headers(
    decision: RateLimitDecision, now: Callable[[], float] = time.time
) -> list[tuple[str, str]]:
    """Return the response headers for the most restrictive limit of *decision*.

    `X-RateLimit-Scope: process` is added while limits are counted in this process only.
    """
    tightest = decision.most_restrictive
    if tightest is None:
        return []
    reset_seconds = _to_seconds(tightest.reset_us)
    fields = [
        ("RateLimit-Policy", format_policy([result.charge for result in decision.results])),
        ("RateLimit", f'"{tightest.charge.name}";r={tightest.remaining};t={reset_seconds}'),
        ("X-RateLimit-Limit", str(tightest.charge.limit.burst)),
        ("X-RateLimit-Remaining", str(tightest.remaining)),
        ("X-RateLimit-Reset", str(int(now()) + reset_seconds)),
    ]
    if decision.is_local:
        fields.append(("X-RateLimit-Scope", "process"))
    if not decision.allowed:
        fields.append(("Retry-After", str(retry_after_seconds(decision))))
    return fields


def retry_after_seconds(decision: RateLimitDecision) -> int:
    """Return the whole seconds until all limits that rejected the request allow it."""
    return max(1, *(_to_seconds(result.wait_us) for result in decision.results))


def format_policy(charges: Sequence[Charge]) -> str:
    """Return the value of the RateLimit-Policy header for *charges*."""
    return ", ".join(f'"{c.name}";q={c.limit.burst};w={c.limit.period_seconds}' for c in charges)


def _to_seconds(microseconds: int) -> int:
    """Convert to whole seconds, rounded up."""
    return -(-microseconds // _MICROSECONDS)
