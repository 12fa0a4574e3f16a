"""Transcription and speech for clients of the API."""

from dataclasses import replace
from typing import Final

from backend.ai.speech.engines import (
    MAX_AUDIO_BYTES,
    AudioFormat,
    SpeechFailed,
    SpeechRequest,
    Synthesizer,
    Transcriber,
    Transcript,
)
from backend.chassis.web.problems import ServiceError
from backend.services.chat.domain.channels.fields import clean_text
from backend.services.chat.domain.media.file_types import detect_type
from backend.services.chat.domain.voice.spoken_text import find_language
from backend.services.chat.errors import (
    RecordingTooLong,
    RecordingUnreadable,
    SpeechEngineFailed,
    SpeechNotSupported,
    SpeechOff,
    SpeechUnavailable,
)

# The gateway waits for 150 seconds.
_TIMEOUT_SECONDS: Final = 140.0
_FIELDS: Final = {
    "unsupported_format": "#/response_format",
    "unsupported_voice": "#/voice",
    "unsupported_language": "#/language",
}


class SpeechService:
    """Transcribes recordings and synthesizes speech with the configured engines.

    Args:
        transcriber: None if recordings are not transcribed.
        synthesizer: None if speech is not synthesized.
    """

    def __init__(self, transcriber: Transcriber | None, synthesizer: Synthesizer | None) -> None:
        self._transcriber = transcriber
        self._synthesizer = synthesizer

    def ensure_transcribes(self) -> None:
        """Raise SpeechOff if recordings are not transcribed."""
        if self._transcriber is None:
            raise SpeechOff("VOICE_STT")

    def transcribe(self, content: bytes, declared_type: str, language: str) -> Transcript:
        """Return the text of a recording.

        Args:
            language: ISO 639-1 code, or "" to detect it.

        Raises:
            SpeechOff, SpeechUnavailable, SpeechEngineFailed.
            RecordingUnreadable: *content* is empty or no audio.
            RecordingTooLong: it has too many bytes or seconds.
            SpeechNotSupported: the engine does not know the language.
        """
        if self._transcriber is None:
            raise SpeechOff("VOICE_STT")
        if len(content) > MAX_AUDIO_BYTES:
            raise RecordingTooLong(f"The file may have at most {MAX_AUDIO_BYTES} bytes.")
        if not content:
            raise RecordingUnreadable("The file is empty. Send a recording.")
        media_type = detect_type(content, declared_type)
        if media_type.startswith(("text/", "image/", "application/pdf")):
            raise RecordingUnreadable(f"The file is no audio, but {media_type}.")
        try:
            transcript = self._transcriber.transcribe(
                content, media_type, language, _TIMEOUT_SECONDS
            )
        except SpeechFailed as error:
            raise _to_error(error) from error
        return replace(transcript, text=clean_text(transcript.text))

    def choose_format(self, name: str | None) -> AudioFormat:
        """Return *name*, or the first of mp3 and wav that the engine writes.

        Raises:
            SpeechOff: speech is not synthesized.
            SpeechNotSupported: the engine does not write the format.
        """
        if self._synthesizer is None:
            raise SpeechOff("VOICE_TTS")
        formats = self._synthesizer.formats
        if name is None:
            return "mp3" if "mp3" in formats else "wav"
        for supported in formats:
            if supported == name:
                return supported
        raise SpeechNotSupported("#/response_format", f"Supported formats: {', '.join(formats)}.")

    def synthesize(self, text: str, audio_format: AudioFormat, voice: str, speed: float) -> bytes:
        """Return *text* as speech.

        Raises:
            SpeechOff, SpeechUnavailable, SpeechEngineFailed.
            SpeechNotSupported: the engine does not know the voice.
        """
        if self._synthesizer is None:
            raise SpeechOff("VOICE_TTS")
        request = SpeechRequest(text, audio_format, voice, speed, find_language(text))
        try:
            return self._synthesizer.synthesize(request, _TIMEOUT_SECONDS)
        except SpeechFailed as error:
            raise _to_error(error) from error


def _to_error(error: SpeechFailed) -> ServiceError:
    if error.code in _FIELDS:
        return SpeechNotSupported(_FIELDS[error.code], error.detail)
    if error.is_temporary:
        return SpeechUnavailable(error.detail)
    if error.code == "audio_too_long":
        return RecordingTooLong(error.detail)
    if error.code in {"not_audio", "unsupported_recording", "too_complex", "recognition_failed"}:
        return RecordingUnreadable(error.detail)
    return SpeechEngineFailed(error.detail)
