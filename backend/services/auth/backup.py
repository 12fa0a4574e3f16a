"""What a restore has to know of accounts: whoever was signed in signs in again."""

from datetime import UTC, datetime

from redis.exceptions import RedisError
from sqlalchemy import Connection

from backend.chassis.backup_contract import Belongings
from backend.chassis.settings import Env
from backend.security.redis import connect
from backend.security.revocation import forget_what_was_told
from backend.security.settings import SecuritySettings
from backend.services.auth.store import restored


class AuthBelongings(Belongings):
    """Accounts have nothing beside their tables."""

    def settle(self, connection: Connection) -> list[str]:
        """No session or token from before goes on, whatever became of it after the backup."""
        restored.end_everything(connection, datetime.now(UTC))
        return []

    def announce(self) -> None:
        url = SecuritySettings.from_env().redis_url
        if url is not None:
            try:
                forget_what_was_told(connect(url))
            except RedisError:
                """It is away, and whoever meets another run of it tells it everything anyway."""


def open_belongings(env: Env) -> Belongings:
    del env
    return AuthBelongings()
