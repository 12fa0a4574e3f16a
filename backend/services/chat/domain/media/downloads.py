"""Downloads the files of received messages, in the background."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from backend.ai.speech.engines import SpeechFailed
from backend.chassis.database.sessions import Database, Session
from backend.services.chat.clients.media_downloads import MediaReference, MediaUnavailable
from backend.services.chat.clients.outcomes import ChannelAccount
from backend.services.chat.domain.media.file_types import detect_type
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.voice.jobs import hand_over
from backend.services.chat.domain.voice.queue import is_recording, queue_transcription
from backend.services.chat.domain.webhooks.verification import WebhookSecrets
from backend.services.chat.store import attachments as store
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.tables import Account, Attachment, Conversation, Message
from backend.services.chat.store.uploads import delete_expired_uploads

MAX_ATTEMPTS: Final = 6
_LEASE: Final = timedelta(seconds=90)
_FIRST_DELAY: Final = timedelta(seconds=2)
_ORPHAN_AGE: Final = timedelta(hours=1)
_BATCH: Final = 500


_log = logging.getLogger(__name__)


class Downloader(Protocol):
    """Downloads files from the channels' providers."""

    def download(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        """Return the file. Raises MediaUnavailable."""


@dataclass(frozen=True, slots=True)
class _Work:
    attachment_id: str
    tenant_id: str
    holder: str
    attempts: int
    mime: str
    reference: MediaReference
    account: ChannelAccount


class AttachmentDownloads:
    """Stores the files of attachments.

    Args:
        database: the tables.
        files: the folder of stored files.
        downloader: fetches a file from its provider.
        open_secrets: returns an account's settings and its credentials in clear text.
        log: tells the readers of a conversation that a file is there.
        now: the clock.
        transcribes: True to queue the transcription of recordings.
    """

    def __init__(
        self,
        database: Database,
        files: AttachmentFiles,
        downloader: Downloader,
        open_secrets: Callable[[Account], WebhookSecrets],
        log: MessageLog,
        now: Callable[[], datetime],
        *,
        transcribes: bool = False,
    ) -> None:
        self._transcribes = transcribes
        self._database = database
        self._every_tenant = database.across_tenants()
        self._files = files
        self._downloader = downloader
        self._open_secrets = open_secrets
        self._log = log
        self._now = now

    def has_due_file(self) -> bool:
        """Return whether the time of a download has come."""
        with self._every_tenant.read() as session:
            return store.has_due_attachment(session, self._now())

    def download_next(self) -> bool:
        """Download one file that is due. Returns False if there is none."""
        work = self._claim()
        if work is None:
            return False
        try:
            content = self._downloader.download(work.account, work.reference)
        except MediaUnavailable as error:
            self._fail(work, error)
            return True
        blob = self._files.add(content, work.tenant_id)
        is_stored = self._finish(
            work,
            {
                "state": "stored",
                "blob": blob,
                "mime": detect_type(content, work.mime)[:100],
                "size_bytes": len(content),
                "sha256": sha256(content).hexdigest(),
                "url": None,
                "error": None,
                "next_attempt_at": None,
            },
        )
        if not is_stored:  # deleted, or downloaded by another worker after the lease has ended
            self._files.delete(blob)
        return True

    def get_next_due_time(self) -> datetime | None:
        with self._every_tenant.read() as session:
            return store.get_next_attempt_time(session)

    def delete_orphans(self) -> int:
        """Delete files whose attachments were deleted, and uploads that no message has used.

        Nothing is deleted while a backup is taken.

        Returns:
            The number of deleted files.
        """
        with self._files.try_start_deletion() as is_allowed:
            return self._delete_orphans() if is_allowed else 0

    def _delete_orphans(self) -> int:
        with self._every_tenant.write() as session:
            delete_expired_uploads(session, self._now())
        names = list(self._files.list_older_than(self._now() - _ORPHAN_AGE))
        count = 0
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            with self._every_tenant.read() as session:
                used = store.list_used_blobs(session, batch)
            for name in set(batch) - used:
                self._files.delete(name)
                count += 1
        return count

    def _claim(self) -> _Work | None:
        # Nearly always none is due, and a transaction that writes blocks others on SQLite.
        if not self.has_due_file():
            return None
        now, holder = self._now(), uuid4().hex
        with self._every_tenant.write() as session:
            found = store.lease_pending_attachment(session, holder, now, now + _LEASE)
            if found is None:
                return None
            attachment, account = found
            return self._describe(attachment, account, holder)

    def _describe(self, attachment: Attachment, account: Account, holder: str) -> _Work:
        secrets = self._open_secrets(account)
        return _Work(
            attachment.id,
            attachment.tenant_id,
            holder,
            attachment.attempts,
            attachment.mime,
            MediaReference(attachment.media_id or "", attachment.url or ""),
            ChannelAccount(account.id, account.channel, secrets.settings, secrets.credentials),
        )

    def _fail(self, work: _Work, error: MediaUnavailable) -> None:
        values: dict[str, Any] = {"error": {"code": error.code}}
        if error.is_final or work.attempts >= MAX_ATTEMPTS:
            state = "expired" if error.code == "expired" else "failed"
            values |= {"state": state, "next_attempt_at": None, "url": None}
            _log.warning(
                "file %s of the %s account %s is not downloaded from %s: %s",
                work.attachment_id,
                work.account.channel,
                work.account.id,
                _get_host(work.reference.url) or "the provider",
                error.code,
            )
        else:
            delay = _FIRST_DELAY * 4 ** (work.attempts - 1)
            values |= {"next_attempt_at": self._now() + delay}
        self._finish(work, values)

    def _finish(self, work: _Work, values: Mapping[str, Any]) -> bool:
        with self._database.write(work.tenant_id) as session:
            if not store.finish_attachment(session, work.attachment_id, work.holder, values):
                return False
            found = store.find_message_of(session, work.attachment_id)
            if found is None or "state" not in values:
                return True
            conversation, message = found
            if self._transcribes and is_recording(message):
                self._queue_transcription(session, conversation, message, work, values)
            self._log.announce_attachment(session, conversation, message)
            return True

    def _queue_transcription(
        self,
        session: Session,
        conversation: Conversation,
        message: Message,
        work: _Work,
        values: Mapping[str, Any],
    ) -> None:
        if values["state"] == "stored":
            queue_transcription(session, message, work.attachment_id, self._now())
            return
        error = SpeechFailed("not_downloaded", "The recording could not be downloaded.")
        hand_over(session, self._log, conversation, message, error, self._now())


def _get_host(url: str) -> str:
    """Return host and port of *url*, without a path or query that may contain a token."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""
