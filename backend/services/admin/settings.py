"""All that the admin service reads from the environment."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.catalog import CATALOG
from backend.chassis.service_description import Service
from backend.chassis.settings import CommonSettings, Env

# Who counts what is asked for.
COUNTING = ("auth", "agent", "rag", "gateway")


@dataclass(frozen=True, slots=True)
class Settings:
    common: CommonSettings
    # Where the services are that count.
    urls: Mapping[str, tuple[str, ...]]
    # The certificate that the gateway shows, where it speaks TLS itself.
    gateway_certificate: Path | None = None

    @classmethod
    def from_env(cls, env: Env) -> Self:
        certificate = env.optional("TLS_CERTFILE")
        return cls(
            common=CommonSettings.from_env(env, "admin"),
            urls={each.name: _urls(env, each) for each in CATALOG if each.name in COUNTING},
            gateway_certificate=Path(certificate) if certificate else None,
        )

    @property
    def gateway_trust(self) -> ssl.SSLContext | None:
        """What of the gateway's is believed: its own certificate, whatever name it is made out to.

        It is asked at an address of this host or network, which no certificate names.
        """
        if self.gateway_certificate is None:
            return None
        context = ssl.create_default_context(cafile=self.gateway_certificate)
        context.check_hostname = False
        # The file may hold a certificate without the authority that signed it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def _urls(env: Env, entry: Service) -> tuple[str, ...]:
    port = env.number(entry.port_variable, entry.port, least=1)
    return env.several(entry.url_variable, (f"http://127.0.0.1:{port}",))
