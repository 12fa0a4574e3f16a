"""Interfaces of the engines of speech recognition and synthesis, their values and failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

AudioFormat = Literal["wav", "mp3", "opus", "flac", "pcm", "aac"]
AUDIO_FORMATS: Final[tuple[AudioFormat, ...]] = get_args(AudioFormat)
MEDIA_TYPES: Final[dict[AudioFormat, str]] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "pcm": "audio/pcm",
    "aac": "audio/aac",
}
"""Media types of the formats. Opus is in an Ogg container."""
MAX_AUDIO_BYTES: Final = 25 * 1024 * 1024
"""Size of a file that is transcribed, and of speech that is written."""
MAX_SPEECH_CHARACTERS: Final = 4096
"""Length of a text that is converted in one request."""
READABLE_FORMATS: Final = "WAV, FLAC, MP3, AIFF, WebM with Opus, and Ogg with Opus or Vorbis"
"""The formats that the embedded engine decodes."""


class SpeechFailed(Exception):
    """An engine returned no result.

    Attributes:
        code: reason for programs: `not_audio`, `unsupported_recording`, `audio_too_long`,
            `too_complex`, `recognition_failed`, `speech_failed`, `unsupported_format`,
            `unsupported_voice`, `unsupported_language`, `engine_unavailable` or `engine_rejected`.
        is_temporary: True if the same request can succeed later.
    """

    def __init__(self, code: str, detail: str, *, is_temporary: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.is_temporary = is_temporary


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """A part of a recording, from `start` to `end` in seconds, and its text."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of a recording.

    Attributes:
        text: empty without speech.
        language: ISO 639-1 code, or "" if the engine does not say.
        seconds: length of the recording.
    """

    text: str
    language: str
    seconds: float
    segments: Sequence[TranscriptSegment] = ()


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A text that is converted to speech.

    Attributes:
        voice: name of a voice of the engine; "" for one that fits the language.
        speed: factor, 1 is normal.
        language: ISO 639-1 code of the text.
    """

    text: str
    audio_format: AudioFormat = "wav"
    voice: str = ""
    speed: float = 1.0
    language: str = "en"


class Transcriber(Protocol):
    """Transcribes recordings."""

    def transcribe(
        self, content: bytes, media_type: str, language: str, timeout_seconds: float
    ) -> Transcript:
        """Return the text of a recording.

        Args:
            content: at most MAX_AUDIO_BYTES, of an unknown sender.
            media_type: type of the file by its bytes.
            language: ISO 639-1 code, or "" to detect it.
            timeout_seconds: for the whole recording.

        Raises:
            SpeechFailed: *content* is no audio, too long, or the engine failed.
        """
        ...


class Synthesizer(Protocol):
    """Converts texts to speech."""

    @property
    def formats(self) -> Sequence[AudioFormat]:
        """The formats that the engine writes."""

    def synthesize(self, request: SpeechRequest, timeout_seconds: float) -> bytes:
        """Return the text as speech in a file, at most MAX_AUDIO_BYTES.

        Raises:
            SpeechFailed: the format or the voice is not supported, or the engine failed.
        """
        ...
