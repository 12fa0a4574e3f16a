"""Backup contribution of the chat service: the files of attachments.

chat/attachments/BLOB      a stored attachment
"""

from backend.chassis.backup_contract import BackupContributor
from backend.chassis.settings import Env


def open_contributor(env: Env) -> BackupContributor:
    del env
    return BackupContributor()
