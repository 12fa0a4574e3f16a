"""What the doctor asks of the gateway: whether its certificate is one that clients take."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from backend.chassis.diagnostics import Finding, error, warning
from backend.services.gateway.settings import Settings

_DAY = 24 * 60 * 60
_SOON_DAYS = 14


def findings(settings: Settings, *, tables: bool, running: bool) -> Iterator[Finding]:  # noqa: ARG001
    """Everything about TLS; the rest of the settings was read when they were made."""
    if settings.certificate is None or settings.certificate_key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate, settings.certificate_key)
        ends = _ends(settings.certificate)
    except (OSError, ssl.SSLError) as trouble:
        yield error(
            "gateway",
            f"TLS_CERTFILE and TLS_KEYFILE can't be used together: {trouble}",
            "The gateway does not start.",
            "Name a certificate in PEM, and the key that belongs to it, readable by this user.",
        )
        return
    left = (ends - time.time()) / _DAY
    if left < _SOON_DAYS:
        make = error if left < 0 else warning
        yield make(
            "gateway",
            f"The certificate {'has expired' if left < 0 else f'expires in {left:.0f} days'}.",
            "Clients refuse to speak to the gateway from then on.",
            "Put a new one in its place, then: kill -HUP GATEWAY_PID (`status` shows it)",
        )


def _ends(certificate: Path) -> float:
    from cryptography import x509

    first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    return first.not_valid_after_utc.timestamp()
