"""Backup contribution of the agent service: a check of the master key after a restore."""

from sqlalchemy import Connection

from backend.chassis.backup_contract import BackupContributor
from backend.chassis.data_encryption.sealed_data import find_master_key_problems
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.chassis.settings import Env


class AgentBackupContributor(BackupContributor):
    """Reports a master key that does not fit the restored data keys."""

    def __init__(self, encryption: EncryptionSettings) -> None:
        self._encryption = encryption

    def update_restored_rows(self, connection: Connection) -> list[str]:
        return find_master_key_problems("agent", connection, self._encryption)


def open_contributor(env: Env) -> BackupContributor:
    return AgentBackupContributor(EncryptionSettings.from_env(env))
