"""Settings of the admin service, read from the environment."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.catalog import CATALOG
from backend.chassis.settings import CommonSettings, Env, load_service_urls

STATS_SERVICES = ("auth", "agent", "rag", "gateway")
"""Services with `GET /stats`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the admin service.

    Attributes:
        common: settings that all services have.
        urls: URLs of the services in `STATS_SERVICES`.
        gateway_certificate: certificate of the gateway, if it serves TLS itself.
    """

    common: CommonSettings
    urls: Mapping[str, tuple[str, ...]]
    gateway_certificate: Path | None = None

    @classmethod
    def from_env(cls, env: Env) -> Self:
        certificate = env.optional("TLS_CERTFILE")
        return cls(
            common=CommonSettings.from_env(env, "admin"),
            urls={
                entry.name: load_service_urls(env, entry)
                for entry in CATALOG
                if entry.name in STATS_SERVICES
            },
            gateway_certificate=Path(certificate) if certificate else None,
        )

    @property
    def gateway_tls_context(self) -> ssl.SSLContext | None:
        """TLS context that accepts only the gateway's certificate, or None without TLS.

        The host name is not checked: the gateway is called at an internal address, which its
        certificate does not contain.
        """
        if self.gateway_certificate is None:
            return None
        context = ssl.create_default_context(cafile=self.gateway_certificate)
        context.check_hostname = False
        # The file may lack the certificate of the authority that signed the gateway's certificate.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context
