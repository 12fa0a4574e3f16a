"""Settings of the chat service and its worker, read from the environment."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

from backend.ai.speech.settings import SpeechSettings
from backend.chassis.catalog import get_service
from backend.chassis.data_encryption.settings import NO_ENCRYPTION, EncryptionSettings
from backend.chassis.settings import (
    CommonSettings,
    Env,
    SettingsError,
    load_public_url,
    load_service_urls,
)
from backend.security.outbound import AllowedHost


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the chat service and its worker read from the environment.

    Attributes:
        public_url: address of the gateway as providers see it, for signatures and media links.
        private_hosts: hosts of providers at private addresses. Base URLs of accounts may name
            them; without one, only public addresses are called.
        encryption: the master key of encryption at rest.
        metrics_tenants: number of tenants with metrics of their own.
        speech: engines of voice messages, calls and `/v1/audio`.
        mongodb_variables: names of MongoDB variables that are set. They have no effect.
    """

    common: CommonSettings
    database_url: str
    agent_urls: tuple[str, ...]
    auth_urls: tuple[str, ...]
    worker_port: int
    public_url: str
    private_hosts: tuple[AllowedHost, ...]
    max_wait: timedelta
    session_lifetime: timedelta
    config_cache_lifetime: timedelta
    response_cache_lifetime: timedelta
    mongodb_variables: tuple[str, ...]
    metrics_tenants: int = 20
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    encryption: EncryptionSettings = NO_ENCRYPTION

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "chat")
        return cls(
            common=common,
            database_url=common.get_database_url(env),
            agent_urls=load_service_urls(env, get_service("agent")),
            auth_urls=load_service_urls(env, get_service("auth")),
            worker_port=env.number("CHAT_WORKER_PORT", 5041, min_value=1),
            public_url=env.text("CHAT_PUBLIC_URL", load_public_url(env)).rstrip("/"),
            private_hosts=tuple(map(_parse_host, env.text_list("CHAT_PRIVATE_HOSTS"))),
            max_wait=timedelta(
                milliseconds=env.number("REQUEST_TIMEOUT_MS", 30_000, min_value=100)
            ),
            session_lifetime=env.seconds("SESSION_TTL", 3600),
            config_cache_lifetime=env.seconds("CONFIG_CACHE_TTL", 300),
            response_cache_lifetime=env.seconds("RESPONSE_CACHE_TTL", 1800),
            mongodb_variables=tuple(
                name
                for name, value in (
                    ("MONGODB_URI", env.optional("MONGODB_URI")),
                    ("MONGODB_URL", env.optional("MONGODB_URL")),
                )
                if value is not None
            ),
            encryption=EncryptionSettings.from_env(env),
            metrics_tenants=env.number("CHAT_METRICS_TENANTS", 20, min_value=0),
            speech=SpeechSettings.from_env(env, common.data_dir),
        )

    @property
    def folder(self) -> Path:
        """The service's data folder: attachments and the worker's pipe."""
        return self.common.data_dir / "chat"


def _parse_host(text: str) -> AllowedHost:
    try:
        return AllowedHost.parse(text)
    except ValueError as error:
        raise SettingsError(
            f"CHAT_PRIVATE_HOSTS: {error} Example: 127.0.0.1:8090,simulator:8090"
        ) from error
