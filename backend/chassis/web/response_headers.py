"""Headers of every response, sent by the gateway and by every service."""

from collections.abc import Sequence
from typing import Final

# The OWASP recommendations for REST APIs:
# https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers
SECURITY_HEADERS: Final[Sequence[tuple[str, str]]] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
# For connections with TLS.
HSTS_HEADER: Final = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
