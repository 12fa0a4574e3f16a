"""The key that Prometheus shows at `/metrics`.

It follows from SECRET_KEY, so that nobody has to keep it, and no other service is asked whether it
is good: the numbers are wanted most while auth or Redis are away.
"""

import hmac

_PREFIX = "mtr_"


class MetricsKey:
    """Opens `/metrics` and nothing else."""

    def __init__(self, secret: str) -> None:
        derived = hmac.digest(secret.encode(), b"ai-agent-system/metrics", "sha256")
        self.text = _PREFIX + derived.hex()

    def is_in(self, authorization: str) -> bool:
        """Whether the header *authorization* holds it."""
        scheme, _, shown = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            shown.strip().encode(), self.text.encode()
        )
