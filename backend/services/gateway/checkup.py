"""Doctor check of the gateway: its TLS certificate."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from backend.chassis.diagnostics import Finding, error, warning
from backend.services.gateway.settings import Settings

_DAY_SECONDS = 24 * 60 * 60
_EXPIRY_WARNING_DAYS = 14


def run_checks(settings: Settings, *, tables_ok: bool, running: bool) -> Iterator[Finding]:  # noqa: ARG001
    """Check the certificate. All other settings are validated when they are loaded."""
    if settings.certificate is None or settings.certificate_key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate, settings.certificate_key)
        expires_at = _read_expiry(settings.certificate)
    except (OSError, ssl.SSLError) as reason:
        yield error(
            "gateway",
            f"TLS_CERTFILE and TLS_KEYFILE cannot be used together: {reason}",
            "The gateway does not start.",
            "Set them to a PEM certificate and its private key, readable by this user.",
        )
        return
    days_left = (expires_at - time.time()) / _DAY_SECONDS
    if days_left < _EXPIRY_WARNING_DAYS:
        expired = days_left < 0
        create_finding = error if expired else warning
        yield create_finding(
            "gateway",
            f"The certificate {'has expired' if expired else f'expires in {days_left:.0f} days'}.",
            "Clients reject an expired certificate.",
            "Replace the certificate, then run: kill -HUP GATEWAY_PID (`status` shows it)",
        )


def _read_expiry(certificate: Path) -> float:
    """Return the Unix time at which the first certificate in the file expires."""
    from cryptography import x509

    first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    return first.not_valid_after_utc.timestamp()
