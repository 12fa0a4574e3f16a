"""The engines of this host: Whisper for recognition, espeak for speech."""

import json
import re
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from backend.ai.speech.engines import (
    MAX_AUDIO_BYTES,
    AudioFormat,
    SpeechFailed,
    SpeechRequest,
    Transcript,
    TranscriptSegment,
)
from backend.ai.speech.languages import LANGUAGES
from backend.ai.speech.model_files import (
    FETCH_COMMAND,
    INSTALL_COMMAND,
    are_packages_installed,
    get_model_folder,
    is_downloaded,
)
from backend.ai.speech.processes import ProcessFailed, run_process
from backend.ai.speech.settings import SpeechSettings

# Address space: the libraries reserve 1.6 GB, of which 0.4 GB are used.
_TRANSCRIPTION_MEMORY: Final = 2_500 * 1024**2
_MEMORY_PER_SECOND: Final = 512 * 1024
_SPEECH_MEMORY: Final = 1024**3
_MAX_TRANSCRIPT_BYTES: Final = 4 * 1024**2
# Of espeak: mono at 22,050 Hz, so that nine minutes fit.
_MAX_SPEECH_SECONDS: Final = 30.0
_QUEUE_SECONDS: Final = 20.0

ESPEAK_PROGRAMS: Final = ("espeak-ng", "espeak")
_WORDS_PER_MINUTE: Final = 165
_MIN_WORDS: Final = 80
_MAX_WORDS: Final = 450
_VOICE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9-]{2,12})?(\+[a-z0-9]{1,10})?")
# OpenAI's clients always name a voice. These stand for one that fits the language.
_OPENAI_VOICES: Final = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx"),
    *("sage", "shimmer", "verse"),
)


class EmbeddedTranscriber:
    """Transcribes with Whisper base in a process for each recording, one at a time."""

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._slot = threading.Lock()

    def transcribe(
        self, content: bytes, media_type: str, language: str, timeout_seconds: float
    ) -> Transcript:
        del media_type  # the decoder recognises the format
        settings = self._settings
        if language and language not in LANGUAGES:
            raise SpeechFailed(
                "unsupported_language", f"{language[:20]!r} is no language code of Whisper."
            )
        if not are_packages_installed():
            raise _unavailable(f"The extra voice is not installed. Run: {INSTALL_COMMAND}")
        if not is_downloaded(settings.data_dir):
            raise _unavailable(f"The Whisper model is not downloaded. Run: {FETCH_COMMAND}")
        deadline = monotonic() + timeout_seconds
        if not self._slot.acquire(timeout=min(_QUEUE_SECONDS, timeout_seconds)):
            raise _unavailable("Another recording is being transcribed. Retry later.")
        try:
            output = run_process(
                [
                    "transcribe",
                    str(get_model_folder(settings.data_dir)),
                    str(settings.max_seconds),
                    str(settings.threads),
                    language,
                ],
                content,
                max_memory_bytes=_TRANSCRIPTION_MEMORY + _MEMORY_PER_SECOND * settings.max_seconds,
                # Without the time in the queue: the caller's own limit includes it.
                timeout_seconds=max(1.0, deadline - monotonic()),
                max_output_bytes=_MAX_TRANSCRIPT_BYTES,
            )
            return _read_transcript(json.loads(output))
        except (ProcessFailed, ValueError) as error:
            raise SpeechFailed(
                "recognition_failed",
                "The recording cannot be decoded, or takes too much time or memory.",
            ) from error
        finally:
            self._slot.release()


def _read_transcript(fields: dict[str, object]) -> Transcript:
    if "error" in fields:
        raise SpeechFailed(str(fields["error"]), str(fields["detail"]))
    segments = [TranscriptSegment(**segment) for segment in fields["segments"]]  # type: ignore[attr-defined]
    return Transcript(
        str(fields["text"]), str(fields["language"]), float(str(fields["seconds"])), segments
    )


class EspeakSynthesizer:
    """Synthesizes speech with the program espeak-ng, or espeak, whose licence is GPL."""

    @property
    def formats(self) -> Sequence[AudioFormat]:
        return ("wav", "mp3", "opus", "flac", "pcm") if are_packages_installed() else ("wav",)

    def synthesize(self, request: SpeechRequest, timeout_seconds: float) -> bytes:
        if request.audio_format not in self.formats:
            raise SpeechFailed(
                "unsupported_format",
                f"The format {request.audio_format} is not supported. Supported: "
                f"{', '.join(self.formats)}.",
            )
        program = find_espeak()
        if program is None:
            raise _unavailable(f"espeak-ng is not installed. {ESPEAK_ADVICE}")
        voice = _choose_voice(request)
        try:
            wav = run_process(
                [
                    "run",
                    str(program),
                    "--stdin",
                    "--stdout",
                    "-b",
                    "1",
                    "-v",
                    voice,
                    "-s",
                    str(min(_MAX_WORDS, max(_MIN_WORDS, round(_WORDS_PER_MINUTE * request.speed)))),
                ],
                request.text.encode(),
                max_memory_bytes=_SPEECH_MEMORY,
                timeout_seconds=min(_MAX_SPEECH_SECONDS, timeout_seconds),
                max_output_bytes=MAX_AUDIO_BYTES,
            )
        except ProcessFailed as error:
            if error.exit_status == 1:
                raise SpeechFailed("unsupported_voice", f"espeak has no voice {voice}.") from error
            raise SpeechFailed("speech_failed", "espeak cannot convert the text.") from error
        if len(wav) <= _WAV_HEADER_BYTES or wav[:4] != b"RIFF":
            raise SpeechFailed("speech_failed", "espeak has written no speech.")
        wav = _repair_header(wav)
        return wav if request.audio_format == "wav" else _encode(wav, request.audio_format)


ESPEAK_ADVICE: Final = "Install it with the package manager, such as: apt-get install espeak-ng"
_WAV_HEADER_BYTES: Final = 44


def find_espeak() -> Path | None:
    """Return the path of the program, or None if it is not installed."""
    for name in ESPEAK_PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    return None


def _choose_voice(request: SpeechRequest) -> str:
    if request.voice and request.voice not in _OPENAI_VOICES:
        if not _VOICE.fullmatch(request.voice):
            raise SpeechFailed(
                "unsupported_voice",
                "The voice must be the code of a language, such as en or en-gb+f3, or one of "
                f"{', '.join(_OPENAI_VOICES)}, which stand for the language of the text.",
            )
        return request.voice
    return _ESPEAK_LANGUAGES.get(request.language, request.language or "en")


# Codes of languages that espeak names differently.
_ESPEAK_LANGUAGES: Final = {"zh": "cmn", "no": "nb", "jw": "id", "tl": "en"}


def _repair_header(wav: bytes) -> bytes:
    """Return *wav* with its size: espeak writes to a pipe and cannot set it at the end."""
    size = len(wav)
    riff = (size - 8).to_bytes(4, "little")
    data = (size - _WAV_HEADER_BYTES).to_bytes(4, "little")
    return wav[:4] + riff + wav[8:40] + data + wav[_WAV_HEADER_BYTES:]


def _encode(wav: bytes, audio_format: AudioFormat) -> bytes:
    try:
        return run_process(
            ["encode", audio_format],
            wav,
            max_memory_bytes=_SPEECH_MEMORY,
            timeout_seconds=_MAX_SPEECH_SECONDS,
            max_output_bytes=MAX_AUDIO_BYTES,
        )
    except ProcessFailed as error:
        raise SpeechFailed("speech_failed", "The speech cannot be encoded.") from error


def _unavailable(detail: str) -> SpeechFailed:
    return SpeechFailed("engine_unavailable", detail, is_temporary=True)
