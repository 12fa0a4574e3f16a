"""Backup contribution of the auth service: a restore ends all sessions."""

from contextlib import suppress
from datetime import UTC, datetime

from redis.exceptions import RedisError
from sqlalchemy import Connection

from backend.chassis.backup_contract import BackupContributor
from backend.chassis.settings import Env
from backend.security.redis import connect
from backend.security.revocation import request_repopulation
from backend.security.settings import SecuritySettings
from backend.services.auth.store import post_restore


class AuthBackupContributor(BackupContributor):
    """Invalidate sessions after a restore. Auth stores nothing outside its tables."""

    def update_restored_rows(self, connection: Connection) -> list[str]:
        """End every session and token in the backup: some of them ended after it was made."""
        post_restore.invalidate_sessions_and_tokens(connection, datetime.now(UTC))
        return []

    def publish_restore(self) -> None:
        url = SecuritySettings.from_env().redis_url
        if url is not None:
            # If Redis does not respond, nothing is lost: the revocation publisher detects a
            # restarted Redis and publishes all revocations again.
            with suppress(RedisError):
                request_repopulation(connect(url))


def open_contributor(env: Env) -> BackupContributor:
    del env
    return AuthBackupContributor()
