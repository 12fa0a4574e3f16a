"""Which limits a request counts against, and how its caller hears of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.security.limits import Charge, Decision
from backend.security.redis import key
from backend.services.gateway.domain.table import Route, Rule

_KEY_PREFIX = key("gateway", "limit", "")
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Asker:
    """Who a request is counted for; user and tenant are None for a stranger."""

    address: str
    user: str | None = None
    tenant: str | None = None


def charges(route: Route, path: str, asker: Asker) -> list[Charge]:
    """What a request on *path* takes, from every limit that it falls under."""
    taken = []
    for rule in route.rules_for(path):
        counted = _counted(route, rule, path, asker)
        if counted is not None:
            taken.append(Charge(rule.name, counted, rule.rate))
    return taken


def token_charges(route: Route, path: str, asker: Asker) -> list[Charge]:
    """What a request to a model reserves of its caller's tokens before it is let in."""
    rule = route.tokens
    if rule is None or asker.user is None:
        return []
    if not any(path == pattern for pattern in rule.paths):
        return []
    return [
        Charge(
            f"tokens-{rate.period}s",
            f"{_KEY_PREFIX}tokens:{rate.period}:{asker.user}",
            rate,
            min(rule.reserve, rate.burst),
        )
        for rate in rule.rates
    ]


def _counted(route: Route, rule: Rule, path: str, asker: Asker) -> str | None:
    # A general rule is one budget over all routes; one with paths has a budget for each.
    scope = f"{_KEY_PREFIX}{rule.name}:"
    if rule.paths:
        scope += f"{route.name}{path}:"
    if rule.by == "route":
        return f"{scope}{route.name}"
    if rule.by == "tenant":
        return None if asker.tenant is None else f"{scope}tenant:{asker.tenant}"
    if rule.by == "caller" and asker.user is not None:
        return f"{scope}user:{asker.user}"
    return f"{scope}address:{asker.address}"


def fields(decision: Decision, now: Callable[[], float] = time.time) -> list[tuple[str, str]]:
    """The header fields that tell a caller where they stand (and where we count)."""
    tightest = decision.tightest
    if tightest is None:
        return []
    reset = _seconds(tightest.reset)
    written = [
        ("RateLimit-Policy", policy([verdict.charge for verdict in decision.verdicts])),
        ("RateLimit", f'"{tightest.charge.name}";r={tightest.remaining};t={reset}'),
        ("X-RateLimit-Limit", str(tightest.charge.limit.burst)),
        ("X-RateLimit-Remaining", str(tightest.remaining)),
        ("X-RateLimit-Reset", str(int(now()) + reset)),
    ]
    if decision.local:
        written.append(("X-RateLimit-Scope", "process"))
    if not decision.allowed:
        written.append(("Retry-After", str(retry_after(decision))))
    return written


def retry_after(decision: Decision) -> int:
    """Whole seconds until every limit that refused would let this request in."""
    return max(1, *(_seconds(verdict.wait) for verdict in decision.verdicts))


def policy(charges: Sequence[Charge]) -> str:
    """The limits that *charges* fall under, as the field RateLimit-Policy has them."""
    return ", ".join(f'"{c.name}";q={c.limit.burst};w={c.limit.period}' for c in charges)


def _seconds(microseconds: int) -> int:
    return -(-microseconds // _SECOND)
