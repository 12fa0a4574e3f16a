"""Settings of the realtime service, read from the environment."""

from dataclasses import dataclass
from typing import Self

from backend.chassis.settings import CommonSettings, Env
from backend.services.realtime.domain.connections import ConnectionLimits
from backend.services.realtime.model import SocketLimits


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the realtime service."""

    common: CommonSettings
    database_url: str
    connections: ConnectionLimits
    sockets: SocketLimits
    drain_seconds: float

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "realtime")
        return cls(
            common=common,
            database_url=common.get_database_url(env),
            connections=ConnectionLimits(
                per_user=env.number("REALTIME_SOCKETS_PER_USER", 16, min_value=1),
                per_tenant=env.number("REALTIME_SOCKETS_PER_TENANT", 1000, min_value=1),
                per_process=env.number("REALTIME_SOCKETS", 10_000, min_value=1),
            ),
            sockets=SocketLimits(
                message_bytes=env.number("REALTIME_MESSAGE_BYTES", 64 * 1024, min_value=1024),
                commands_per_second=env.number("REALTIME_COMMANDS_PER_SECOND", 20, min_value=1),
                command_burst=env.number("REALTIME_COMMAND_BURST", 50, min_value=1),
                subscriptions=env.number("REALTIME_SUBSCRIPTIONS", 64, min_value=1),
                queued_bytes=env.number("REALTIME_QUEUED_BYTES", 256 * 1024, min_value=65_536),
                stall_seconds=env.decimal("REALTIME_STALL_SECONDS", 5.0),
                lifetime_seconds=env.decimal("REALTIME_LIFETIME_SECONDS", 12 * 3600.0),
                ping_seconds=env.number("REALTIME_PING_SECONDS", 25, min_value=1),
            ),
            drain_seconds=float(env.number("SERVICE_DRAIN_SECONDS", 5, min_value=1)),
        )
