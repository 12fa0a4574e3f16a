"""Queue the transcription of received recordings and the speech of answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from backend.ai.speech.engines import MAX_SPEECH_CHARACTERS, AudioFormat, Synthesizer
from backend.chassis.database.sessions import Session
from backend.services.chat.domain.voice.spoken_text import to_spoken_text
from backend.services.chat.store import voice_jobs as store
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Conversation, Message, VoiceJob
from backend.services.chat.store.work import announce_work

# The formats of speech that a channel plays, the best first.
SPEECH_FORMATS: Final[Mapping[str, tuple[AudioFormat, ...]]] = {
    "whatsapp": ("opus",),
    "telegram": ("opus",),
    "web": ("mp3", "wav"),
}


def is_recording(message: Message) -> bool:
    """Return whether *message* is a recording of a contact that is not deleted."""
    is_audio = message.content.get("type") == "audio"
    return message.direction == "inbound" and is_audio and message.deleted_at is None


def queue_transcription(
    session: Session, message: Message, attachment_id: str, now: datetime
) -> None:
    """Queue the transcription of a stored attachment of *message*."""
    _add(session, store.TRANSCRIPTION, message, attachment_id, now)


def queue_speech(
    session: Session,
    conversation: Conversation,
    message: Message,
    settings: Mapping[str, Any],
    synthesizer: Synthesizer,
    now: datetime,
) -> None:
    """Queue the speech of an answer if the account wants it and the channel plays audio.

    Args:
        settings: of the account.
    """
    audio_format = choose_format(conversation.channel, synthesizer)
    if settings.get("answer_with_speech") is not True or audio_format is None:
        return
    text = to_spoken_text(str(message.content.get("text") or ""))
    if text and len(text) <= MAX_SPEECH_CHARACTERS:
        _add(session, store.SPEECH, message, None, now)


def choose_format(channel: str, synthesizer: Synthesizer) -> AudioFormat | None:
    """Return the format of speech for *channel*, or None if it plays none that can be written."""
    formats = SPEECH_FORMATS.get(channel, ())
    return next((name for name in formats if name in synthesizer.formats), None)


def _add(
    session: Session, kind: str, message: Message, attachment_id: str | None, now: datetime
) -> None:
    store.add_job(
        session,
        VoiceJob(
            id=new_id("voj"),
            tenant_id=message.tenant_id,
            conversation_id=message.conversation_id,
            message_id=message.id,
            attachment_id=attachment_id,
            kind=kind,
            state="pending",
            language="",
            attempts=0,
            next_attempt_at=now,
            created_at=now,
            updated_at=now,
        ),
    )
    announce_work(session)
