"""Settings of the packages service, read from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.settings import CommonSettings, Env
from backend.services.packages.model import Quotas


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the packages service reads from the environment."""

    common: CommonSettings
    database_url: str
    quotas: Quotas

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "packages")
        return cls(
            common=common,
            database_url=common.get_database_url(env),
            quotas=Quotas(
                packages=env.number("PACKAGES_PER_TENANT", 2_000_000, min_value=1),
                events=env.number("PACKAGES_EVENTS_PER_PACKAGE", 1000, min_value=1),
            ),
        )

    @property
    def folder(self) -> Path:
        """The service's data folder."""
        return self.common.data_dir / "packages"
