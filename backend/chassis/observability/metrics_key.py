"""The bearer key with which Prometheus reads `/metrics`.

It is derived from SECRET_KEY: it need not be stored, and no other service is needed to verify
it. Metrics must stay readable while auth or Redis are unavailable.
"""

import hmac

_PREFIX = "mtr_"


class MetricsKey:
    """Key that is accepted for `/metrics` only, by every service.

    Args:
        secret: SECRET_KEY of the system.
    """

    def __init__(self, secret: str) -> None:
        derived = hmac.digest(secret.encode(), b"ai-agent-system/metrics", "sha256")
        self.text = _PREFIX + derived.hex()

    def matches_authorization(self, authorization: str) -> bool:
        """Return True if the Authorization header value holds this key as a bearer token."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            token.strip().encode(), self.text.encode()
        )
