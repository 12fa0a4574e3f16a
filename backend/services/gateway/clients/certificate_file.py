"""Expiry of the gateway's TLS certificate, for Prometheus."""

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from prometheus_client.core import GaugeMetricFamily, Metric


def collect_certificate_expiry(file: Path) -> Iterator[Metric]:
    """Yield the time at which the first of the certificates in *file* expires.

    Raises:
        OSError, ValueError: *file* has no readable certificate.
    """
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    expires_at = min(certificate.not_valid_after_utc for certificate in certificates)
    yield GaugeMetricFamily(
        "tls_certificate_expiry_timestamp_seconds",
        "Unix time at which the TLS certificate, or another one of its chain, expires.",
        expires_at.timestamp(),
    )
