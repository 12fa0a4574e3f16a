"""Backup contribution of the chat service: the files of attachments.

chat/attachments/BLOB      a stored attachment
"""

from sqlalchemy import Connection

from backend.chassis.backup_contract import (
    BackupContributor,
    BackupMember,
    MemberWriter,
    PrintLine,
    Progress,
)
from backend.chassis.settings import CommonSettings, Env
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.attachments import iterate_stored_files

_PREFIX = "chat/attachments/"


class ChatBackupContributor(BackupContributor):
    """Adds the files of attachments to a backup and restores them."""

    def __init__(self, files: AttachmentFiles) -> None:
        self._files = files

    def write_members(
        self, snapshot: Connection, writer: MemberWriter, print_line: PrintLine
    ) -> list[str]:
        progress = Progress(print_line)
        problems: list[str] = []
        count = 0
        for stored in iterate_stored_files(snapshot):
            try:
                with self._files.get_path(stored.blob).open("rb") as source:
                    digest = writer.add_file(_PREFIX + stored.blob, stored.size_bytes, source)
            except FileNotFoundError:
                problems.append(
                    f"The file of attachment {stored.attachment_id} was missing when the backup "
                    "was taken."
                )
                continue
            if digest != stored.sha256:
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
            self._files.write(name, member.read_all())
        except FileNotFoundError as error:
            raise ValueError(f"unknown member {member.name}") from error

    def list_replaced_paths(self) -> tuple[str, ...]:
        return ("chat/attachments",)


def open_contributor(env: Env) -> BackupContributor:
    folder = CommonSettings.from_env(env, "chat").data_dir / "chat" / "attachments"
    return ChatBackupContributor(AttachmentFiles(folder))
