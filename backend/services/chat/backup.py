"""Backup contribution of the chat service: the files of attachments.

chat/attachments/BLOB          a stored attachment
chat/attachments/BLOB.sealed   an encrypted one, as it is stored
"""

import os
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from backend.chassis.backup_contract import (
    BackupContributor,
    BackupMember,
    MemberWriter,
    PrintLine,
    Progress,
)
from backend.chassis.data_encryption.files import SUFFIX
from backend.chassis.data_encryption.sealed_data import find_master_key_problems
from backend.chassis.data_encryption.settings import NO_ENCRYPTION, EncryptionSettings
from backend.chassis.settings import CommonSettings, Env
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.attachments import iterate_stored_files

_PREFIX = "chat/attachments/"


class ChatBackupContributor(BackupContributor):
    """Adds the files of attachments to a backup and restores them."""

    def __init__(
        self, files: AttachmentFiles, encryption: EncryptionSettings = NO_ENCRYPTION
    ) -> None:
        self._files = files
        self._encryption = encryption

    def hold_files(self) -> AbstractContextManager[None]:
        return self._files.block_deletion()

    def write_members(
        self, snapshot: Connection, writer: MemberWriter, print_line: PrintLine
    ) -> list[str]:
        progress = Progress(print_line)
        problems: list[str] = []
        count = 0
        for stored in iterate_stored_files(snapshot):
            try:
                path = self._files.find_stored_path(stored.blob)
                is_sealed = path is not None and path.name.endswith(SUFFIX)
                with (path or self._files.get_path(stored.blob)).open("rb") as source:
                    size = os.fstat(source.fileno()).st_size if is_sealed else stored.size_bytes
                    name = stored.blob + SUFFIX * is_sealed
                    digest = writer.add_file(_PREFIX + name, size, source)
            except FileNotFoundError:
                problems.append(
                    f"The file of attachment {stored.attachment_id} was missing when the backup "
                    "was taken."
                )
                continue
            if digest != stored.sha256 and not is_sealed:
                problems.append(
                    f"The file of attachment {stored.attachment_id} was damaged when the backup "
                    "was taken."
                )
            count += 1
            progress.report(f"chat: {count} files")
        print_line(f"chat: {count} files")
        return problems

    def restore_member(self, member: BackupMember) -> None:
        name = member.name.removeprefix(_PREFIX)
        try:
            self._files.write_stored(name, member.read_all())
        except FileNotFoundError as error:
            raise ValueError(f"unknown member {member.name}") from error

    def update_restored_rows(self, connection: Connection) -> list[str]:
        return find_master_key_problems("chat", connection, self._encryption)

    def list_replaced_paths(self) -> tuple[str, ...]:
        return ("chat/attachments",)


def open_contributor(env: Env) -> BackupContributor:
    folder = CommonSettings.from_env(env, "chat").data_dir / "chat" / "attachments"
    return ChatBackupContributor(AttachmentFiles(folder), EncryptionSettings.from_env(env))
