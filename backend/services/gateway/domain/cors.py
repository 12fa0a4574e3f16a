"""Cross-origin answers, decided here for all services: exact origins, never a reflection."""

from collections.abc import Sequence

from backend.services.gateway.domain.headers import Fields

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_HEADERS = (
    "Authorization, Content-Type, X-API-Key, X-Tenant-ID, X-Request-ID, Idempotency-Key, "
    "Last-Event-ID, traceparent"
)
_EXPOSED = (
    "X-Request-ID, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, "
    "X-RateLimit-Reset, Retry-After, Location, Content-Disposition"
)


class CrossOrigin:
    """The origins whose pages may read our answers."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._any = "*" in self._origins

    def fields(self, origin: str) -> Fields:
        """What every answer to a page of *origin* carries."""
        if self._any:
            return [
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Expose-Headers", _EXPOSED),
            ]
        if not self._origins:
            return []
        if origin.lower() not in self._origins:
            return [("Vary", "Origin")]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED),
            ("Vary", "Origin"),
        ]

    def preflight(self, origin: str) -> Fields:
        """The answer to a page that asks whether it may ask."""
        allowed = self.fields(origin)
        if len(allowed) < 2:
            return allowed
        return [
            *allowed,
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _HEADERS),
            ("Access-Control-Max-Age", "600"),
        ]


def is_preflight(method: str, origin: str, asked_method: str) -> bool:
    return method == "OPTIONS" and bool(origin) and bool(asked_method)
