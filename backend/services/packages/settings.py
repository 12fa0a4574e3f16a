"""Settings of the packages service, read from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.ai.chat_models.settings import ModelSettings
from backend.chassis.settings import CommonSettings, Env
from backend.services.packages.clients.text_processes import ProcessTextWriter, TextWriter
from backend.services.packages.model import Quotas


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the packages service reads from the environment."""

    common: CommonSettings
    database_url: str
    quotas: Quotas
    has_model: bool = False
    text_timeout_seconds: float = 90.0

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "packages")
        models = ModelSettings.from_env(env)
        return cls(
            has_model=not models.default.is_embedded,
            # The process that writes the text needs some seconds to start.
            text_timeout_seconds=models.timeout.total_seconds() + 30,
            common=common,
            database_url=common.get_database_url(env),
            quotas=Quotas(
                packages=env.number("PACKAGES_PER_TENANT", 2_000_000, min_value=1),
                events=env.number("PACKAGES_EVENTS_PER_PACKAGE", 1000, min_value=1),
            ),
        )

    def open_text_writer(self) -> TextWriter | None:
        """Return the writer of the texts of investigations, None without a language model."""
        return ProcessTextWriter(self.text_timeout_seconds) if self.has_model else None

    @property
    def folder(self) -> Path:
        """The service's data folder."""
        return self.common.data_dir / "packages"
