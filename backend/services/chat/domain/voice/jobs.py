"""Transcribe received recordings and synthesize answers, in the background.

A job is leased, so that it runs again after its process has died. Its result is stored together
with the end of the lease: a job whose lease has ended meanwhile changes nothing.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from backend.ai.speech.engines import (
    MAX_AUDIO_BYTES,
    MEDIA_TYPES,
    AudioFormat,
    SpeechFailed,
    SpeechRequest,
    Synthesizer,
    Transcriber,
    Transcript,
)
from backend.chassis.background import PeriodicTask
from backend.chassis.database.sessions import Database, Session
from backend.services.chat.domain.channels.fields import clean_text
from backend.services.chat.domain.inbox import change_mode
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.domain.voice.notices import get_notice
from backend.services.chat.domain.voice.queue import choose_format
from backend.services.chat.domain.voice.spoken_text import find_language, to_spoken_text
from backend.services.chat.model import AGENT_ACTOR, SPEECH_SOURCE
from backend.services.chat.store import conversations, messages
from backend.services.chat.store import voice_jobs as store
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.attachments import find_stored_attachment
from backend.services.chat.store.base import new_id
from backend.services.chat.store.external_messages import add_attachments
from backend.services.chat.store.tables import Attachment, Conversation, Message
from backend.services.chat.store.work import announce_work

_log = logging.getLogger(__name__)
_LEASE: Final = timedelta(seconds=30)
_RENEWAL_SECONDS: Final = 8.0
_MAX_ATTEMPTS: Final = 4
_FIRST_DELAY: Final = timedelta(seconds=5)
# Loading the model takes a second, a minute of speech eight on one free core.
_START_SECONDS: Final = 60.0
_SECONDS_PER_SECOND: Final = 1.0
_SPEECH_SECONDS: Final = 60.0
_LANGUAGE_MESSAGES: Final = 20


@dataclass(frozen=True, slots=True)
class _Work:
    job_id: str
    tenant_id: str
    conversation_id: str
    message_id: str
    kind: str
    attachment_id: str
    attempts: int
    holder: str
    blob: str | None = None
    media_type: str = ""
    text: str = ""
    channel: str = ""


class VoiceJobs:
    """Runs the jobs of all tenants. Any process can run one: each is leased.

    Args:
        database: the tables; its sessions must see every tenant.
        files: the folder of stored files.
        log: adds and changes messages.
        transcriber: None if recordings are not transcribed.
        synthesizer: None if answers are text only.
        max_seconds: longest recording that is transcribed.
        now: the clock.
    """

    def __init__(
        self,
        database: Database,
        files: AttachmentFiles,
        log: MessageLog,
        transcriber: Transcriber | None,
        synthesizer: Synthesizer | None,
        max_seconds: int,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._files = files
        self._log = log
        self._transcriber = transcriber
        self._synthesizer = synthesizer
        self._timeout_seconds = _START_SECONDS + _SECONDS_PER_SECOND * max_seconds
        self._now = now

    def has_due_job(self) -> bool:
        """Return whether the time of a job has come."""
        with self._database.read() as session:
            return store.has_due_job(session, self._now())

    def run_next(self) -> bool:
        """Run one job that is due. Returns False if there is none."""
        work = self._claim()
        if work is None:
            return False
        renewal = PeriodicTask(
            "voice lease", _RENEWAL_SECONDS, lambda: self._renew(work), runs_at_start=False
        )
        renewal.start()
        try:
            if work.attempts > _MAX_ATTEMPTS:
                self._fail(work, SpeechFailed("worker_died", "The worker has died repeatedly."))
            elif work.kind == store.TRANSCRIPTION:
                self._transcribe(self._describe(work))
            else:
                self._synthesize(self._describe(work))
        except SpeechFailed as error:
            self._fail(work, error)
        except Exception as error:  # noqa: BLE001 - a defect must not hold up the queue
            _log.exception("voice job %s failed", work.job_id)
            detail = f"An unexpected error occurred ({type(error).__name__}). The log has the rest."
            self._fail(work, SpeechFailed("internal_error", detail, is_temporary=True))
        finally:
            renewal.stop()
        return True

    def get_next_due_time(self) -> datetime | None:
        """Return the time at which the next job is due, which may be past, or None."""
        with self._database.read() as session:
            return store.get_next_due_time(session)

    def _claim(self) -> _Work | None:
        # Nearly always none is due, and a transaction that writes blocks others on SQLite.
        if not self.has_due_job():
            return None
        now, holder = self._now(), uuid4().hex
        with self._database.write() as session:
            job = store.claim_job(session, holder, now, now + _LEASE)
            if job is None:
                return None
            stored = find_stored_attachment(session, job.attachment_id or "")
            return _Work(
                job.id,
                job.tenant_id,
                job.conversation_id,
                job.message_id,
                job.kind,
                job.attachment_id or "",
                job.attempts,
                holder,
                None if stored is None else stored.blob,
                "" if stored is None else stored.mime,
            )

    def _describe(self, work: _Work) -> _Work:
        """Return *work* with its answer and channel, and show readers that it runs.

        A transaction of its own: a change of a message locks the conversation before the job.
        """
        with self._database.write(work.tenant_id) as session:
            found = _find(session, work)
            if found is None:
                raise SpeechFailed("message_deleted", "The message was deleted.")
            conversation, message = found
            if work.kind == store.TRANSCRIPTION:
                self._log.announce_attachment(session, conversation, message)
            text = str(message.content.get("text") or "")
            return replace(work, text=text, channel=conversation.channel)

    def _renew(self, work: _Work) -> None:
        with self._database.write(work.tenant_id) as session:
            store.renew_lease(session, work.job_id, work.holder, self._now() + _LEASE)

    def _transcribe(self, work: _Work) -> None:
        if self._transcriber is None:
            raise SpeechFailed("recognition_off", "Recordings are not transcribed on this server.")
        try:
            content = self._files.read(work.blob or "")
        except FileNotFoundError as error:
            raise SpeechFailed("file_missing", "The recording is not stored.") from error
        transcript = self._transcriber.transcribe(
            content[: MAX_AUDIO_BYTES + 1], work.media_type, "", self._timeout_seconds
        )
        text = clean_text(transcript.text)
        if not text:
            raise SpeechFailed("no_speech", "The recording contains no speech that was recognised.")
        self._store_transcript(work, replace(transcript, text=text))

    def _store_transcript(self, work: _Work, transcript: Transcript) -> None:
        values = {
            "state": "done",
            "language": transcript.language[:16],
            "seconds": transcript.seconds,
            "error": None,
            "next_attempt_at": None,
        }
        with self._database.write(work.tenant_id) as session:
            found = _find(session, work)
            if found is None or not self._finish(session, work, values):
                return
            conversation, message = found
            self._log.set_transcript(
                session, conversation, message, work.attachment_id, transcript.text
            )
            if conversation.answer_due_at is not None:
                # The answer waited for the transcript.
                conversation.answer_due_at = self._now()
                announce_work(session)

    def _fail(self, work: _Work, error: SpeechFailed) -> None:
        now = self._now()
        values: dict[str, Any] = {"error": {"code": error.code, "detail": error.detail[:500]}}
        is_final = not error.is_temporary or work.attempts >= _MAX_ATTEMPTS
        if is_final:
            values |= {"state": "failed", "next_attempt_at": None}
        else:
            delay = _FIRST_DELAY * 4 ** (work.attempts - 1)
            values |= {"state": "pending", "next_attempt_at": now + delay}
        with self._database.write(work.tenant_id) as session:
            found = _find(session, work)
            if not self._finish(session, work, values):
                return
            if work.kind == store.TRANSCRIPTION and found is not None:
                self._log.announce_attachment(session, *found)
                if is_final:
                    hand_over(session, self._log, *found, error, now)
        _log.warning("voice job %s: %s", work.job_id, error.code)

    def _finish(self, session: Session, work: _Work, values: Mapping[str, Any]) -> bool:
        return store.finish_job(session, work.job_id, work.holder, values, self._now())

    def _synthesize(self, work: _Work) -> None:
        synthesizer = self._synthesizer
        audio_format = None if synthesizer is None else choose_format(work.channel, synthesizer)
        text = to_spoken_text(work.text)
        if synthesizer is None or audio_format is None or not text:
            raise SpeechFailed("speech_off", "Answers are text only on this channel.")
        request = SpeechRequest(text, audio_format, language=find_language(text))
        content = synthesizer.synthesize(request, _SPEECH_SECONDS)
        blob = self._files.add(content, work.tenant_id)
        if not self._store_speech(work, audio_format, content, blob):
            self._files.delete(blob)

    def _store_speech(
        self, work: _Work, audio_format: AudioFormat, content: bytes, blob: str
    ) -> bool:
        """Add the message with the speech.

        Returns False if the answer was deleted, or another worker has the job.
        """
        now = self._now()
        values = {"state": "done", "error": None, "next_attempt_at": None}
        with self._database.write(work.tenant_id) as session:
            found = _find(session, work)
            if found is None or not self._finish(session, work, values):
                return False
            conversation, answer = found
            name = f"answer.{'ogg' if audio_format == 'opus' else audio_format}"
            file = {
                "id": new_id("att"),
                "name": name,
                "mime": MEDIA_TYPES[audio_format],
                "size": len(content),
            }
            message, _ = self._log.add_message(
                session,
                conversation,
                NewMessage(
                    "outbound",
                    AGENT_ACTOR,
                    {"type": "audio", "attachments": [file]},
                    source=SPEECH_SOURCE,
                    details={"speech_of": answer.id},
                ),
            )
            attachment = Attachment(
                id=file["id"],
                tenant_id=message.tenant_id,
                conversation_id=message.conversation_id,
                message_id=message.id,
                position=0,
                name=name,
                mime=file["mime"],
                size_bytes=len(content),
                sha256=sha256(content).hexdigest(),
                blob=blob,
                state="stored",
                created_at=now,
            )
            add_attachments(session, [attachment])
            return True


def hand_over(
    session: Session,
    log: MessageLog,
    conversation: Conversation,
    message: Message,
    error: SpeechFailed,
    now: datetime,
) -> None:
    """Hand over a conversation whose recording has no transcript, and send the contact a notice.

    Does nothing if no answer of the agent is due: a person answers, or a message in a group is not
    for the agent.
    """
    if conversation.mode != "bot" or conversation.answer_due_at is None:
        return
    text = get_notice("not_understood", _find_contact_language(session, conversation))
    log.add_message(
        session,
        conversation,
        NewMessage(
            "outbound",
            AGENT_ACTOR,
            {"type": "text", "text": text},
            source="agent",
            details={"answers_seq": message.seq},
        ),
    )
    log.change_conversation(
        session,
        conversation,
        **change_mode(conversation, "human", now),
        answer_attempts=0,
        answer_error={"code": error.code, "detail": error.detail[:500], "retries": False},
    )


def _find_contact_language(session: Session, conversation: Conversation) -> str:
    """Return the language of the contact's texts, else of the client or of the conversation."""
    rows = messages.list_messages(session, conversation.id, _LANGUAGE_MESSAGES, with_internal=False)
    texts = [str(row.content.get("text") or row.content.get("transcript") or "") for row in rows]
    of_contact = " ".join(
        text for row, text in zip(rows, texts, strict=True) if row.direction == "inbound"
    )
    language = find_language(of_contact, " ".join(texts))
    locale = str(conversation.details.get("locale") or "")
    return locale if language == "en" and locale and not of_contact.strip() else language


def _find(session: Session, work: _Work) -> tuple[Conversation, Message] | None:
    """Lock the conversation, and return it with its message, or None if one was deleted."""
    conversation = conversations.lock_conversation(session, work.tenant_id, work.conversation_id)
    message = messages.find_message(session, work.conversation_id, work.message_id)
    if conversation is None or message is None or message.deleted_at is not None:
        return None
    return conversation, message
