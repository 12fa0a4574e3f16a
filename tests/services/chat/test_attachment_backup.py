"""Files of attachments in backups."""

import hashlib
from collections.abc import Iterator
from typing import IO

import pytest
from sqlalchemy import update

from backend.services.chat.backup import ChatBackupContributor
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.tables import Attachment
from tests.services.chat.domain.channels.normalising import telegram
from tests.services.chat.webhook_senders import WebhookSenders

CONTENT = b"a file"


class Archive:
    """A backup in memory."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {}

    def add_bytes(self, name: str, content: bytes) -> None:
        self.members[name] = content

    def add_file(self, name: str, size: int, source: IO[bytes]) -> str:
        self.members[name] = source.read(size)
        return hashlib.sha256(self.members[name]).hexdigest()


class Member:
    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self._chunks: Iterator[bytes] = iter([content])

    def read(self, max_bytes: int = -1) -> bytes:
        return next(self._chunks, b"")

    def read_all(self) -> bytes:
        return b"".join(self._chunks)


def test_file_of_an_attachment_is_saved_and_restored(tmp_path):
    senders = WebhookSenders(tmp_path)
    senders.add_account("telegram")
    senders.send("telegram", telegram(document={"file_id": "f1"}))
    files = AttachmentFiles(tmp_path / "a")
    blob = files.add(CONTENT, "t1")
    with senders.database.write("t1") as session:
        digest = hashlib.sha256(CONTENT).hexdigest()
        session.execute(
            update(Attachment).values(
                state="stored", blob=blob, sha256=digest, size_bytes=len(CONTENT)
            )
        )
    archive = Archive()

    with senders.database.as_owner() as connection:
        problems = ChatBackupContributor(files).write_members(
            connection, archive, lambda line: None
        )
    assert problems == []

    restored = AttachmentFiles(tmp_path / "b")
    for name, content in archive.members.items():
        ChatBackupContributor(restored).restore_member(Member(name, content))
    assert restored.read(blob) == CONTENT


def test_member_with_another_name_is_rejected(tmp_path):
    contributor = ChatBackupContributor(AttachmentFiles(tmp_path))

    with pytest.raises(ValueError, match="unknown member"):
        contributor.restore_member(Member("chat/attachments/../../x", b""))
