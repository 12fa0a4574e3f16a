"""Settings of the console service, read from the environment."""

from dataclasses import dataclass
from typing import Self

from backend.chassis.settings import CommonSettings, Env


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the console service.

    Attributes:
        common: settings that all services have.
        reloads_files: True in debug mode: changed files are served after the page is reloaded.
    """

    common: CommonSettings
    reloads_files: bool = False

    @classmethod
    def from_env(cls, env: Env) -> Self:
        return cls(common=CommonSettings.from_env(env, "console"), reloads_files=env.is_debug)
