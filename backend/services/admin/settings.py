"""Settings of the admin service, read from the environment."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dotenv import dotenv_values

import backend
from backend.chassis.catalog import CATALOG
from backend.chassis.documented_settings import hide_secrets, list_documented_settings
from backend.chassis.settings import DOTENV_FILES, CommonSettings, Env, load_service_urls
from backend.services.admin.domain.settings_report import ReportedSetting, SettingsReport

_ROOT = Path(backend.__file__).parents[1]

STATS_SERVICES = ("auth", "agent", "rag", "gateway")
"""Services with `GET /stats`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the admin service.

    Attributes:
        common: settings that all services have.
        urls: URLs of all other services.
        gateway_certificate: certificate of the gateway, if it serves TLS itself.
        report: the documented settings of the installation.
    """

    common: CommonSettings
    urls: Mapping[str, tuple[str, ...]]
    gateway_certificate: Path | None = None
    report: SettingsReport = field(default_factory=lambda: SettingsReport(()))

    @classmethod
    def from_env(cls, env: Env) -> Self:
        certificate = env.optional("TLS_CERTFILE")
        return cls(
            common=CommonSettings.from_env(env, "admin"),
            urls={
                entry.name: load_service_urls(env, entry)
                for entry in CATALOG
                if entry.name != "admin"
            },
            gateway_certificate=Path(certificate) if certificate else None,
            report=_read_report(env, Path.cwd()),
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


def _read_report(env: Env, folder: Path) -> SettingsReport:
    """Return the documented settings. *folder* contains the `.env` files, which `env` includes."""
    files = {name: dotenv_values(folder / name) for name in DOTENV_FILES}
    return SettingsReport(
        [
            _report_setting(env, files, name, default)
            for name, default in list_documented_settings(_ROOT)
        ]
    )


def _report_setting(
    env: Env, files: Mapping[str, Mapping[str, str | None]], name: str, default: str
) -> ReportedSetting:
    value = env.optional(name)
    if value is None:
        return ReportedSetting(name, default, "default")
    origin = next(
        (file for file, values in files.items() if (values.get(name) or "").strip() == value),
        "environment",
    )
    return ReportedSetting(name, hide_secrets(name, value), origin)
