"""Settings of the packages service, read from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.settings import CommonSettings, Env


@dataclass(frozen=True, slots=True)
class Quotas:
    """Upper bounds of what a tenant can store.

    Attributes:
        packages: packages of a tenant.
        events: events of a package.
        export_rows: rows of one export in the format xlsx.
    """

    packages: int = 2_000_000
    events: int = 1000
    export_rows: int = 200_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the packages service reads from the environment."""

    common: CommonSettings
    database_url: str
    quotas: Quotas = Quotas()

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "packages")
        return cls(
            common=common,
            database_url=common.get_database_url(env),
            quotas=Quotas(
                packages=env.number("PACKAGES_PER_TENANT", Quotas.packages, min_value=1),
                events=env.number("PACKAGES_EVENTS_PER_PACKAGE", Quotas.events, min_value=1),
            ),
        )

    @property
    def folder(self) -> Path:
        """The service's data folder."""
        return self.common.data_dir / "packages"
