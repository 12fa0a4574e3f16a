"""Backup contribution of the packages service: its tables only, no files."""

from backend.chassis.backup_contract import BackupContributor
from backend.chassis.settings import Env


def open_contributor(env: Env) -> BackupContributor:
    del env
    return BackupContributor()
