"""Cross-origin resource sharing (CORS) for all services: exact origins, never reflected ones."""

from collections.abc import Sequence

from backend.services.gateway.domain.headers import HeaderFields

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_HEADERS = (
    "Authorization, Content-Type, X-API-Key, X-Tenant-ID, X-Request-ID, Idempotency-Key, "
    "Last-Event-ID, traceparent"
)
_EXPOSED_HEADERS = (
    "X-Request-ID, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, "
    "X-RateLimit-Reset, Retry-After, Location, Content-Disposition"
)


class CorsPolicy:
    """Response headers for pages of the allowed *origins*; `*` allows every origin."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._allows_any = "*" in self._origins

    def response_fields(self, origin: str) -> HeaderFields:
        """Return the headers of a response to a page of *origin*."""
        if self._allows_any:
            return [
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Expose-Headers", _EXPOSED_HEADERS),
            ]
        if not self._origins:
            return []
        if origin.lower() not in self._origins:
            return [("Vary", "Origin")]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED_HEADERS),
            ("Vary", "Origin"),
        ]

    def preflight_fields(self, origin: str) -> HeaderFields:
        """Return the headers of the response to a preflight request from *origin*."""
        allowed = self.response_fields(origin)
        if len(allowed) < 2:
            return allowed
        return [
            *allowed,
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _HEADERS),
            ("Access-Control-Max-Age", "600"),
        ]


def is_preflight(method: str, origin: str, requested_method: str) -> bool:
    """Return True for a CORS preflight; *requested_method* is Access-Control-Request-Method."""
    return method == "OPTIONS" and bool(origin) and bool(requested_method)
