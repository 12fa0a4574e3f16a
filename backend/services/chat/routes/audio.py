"""OpenAI-compatible routes for transcription and speech."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, StringConstraints, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from backend.ai.speech.engines import (
    MAX_AUDIO_BYTES,
    MAX_SPEECH_CHARACTERS,
    MEDIA_TYPES,
    AudioFormat,
    Transcript,
    TranscriptSegment,
)
from backend.chassis.web.app_factory import use
from backend.chassis.web.openai_errors import OpenAIError, convert_problem_to_openai_error
from backend.chassis.web.openapi import accepts_form, request_example, responds_with_stream
from backend.chassis.web.wait_slots import WaitSlots
from backend.security import (
    HttpError,
    Input,
    Permission,
    invalid_field,
    require_permission,
    validate_input,
)
from backend.services.chat.domain.voice.speech import SpeechService
from backend.services.chat.errors import (
    RecordingTooLong,
    RecordingUnreadable,
    SpeechEngineFailed,
    SpeechNotSupported,
    SpeechOff,
    SpeechUnavailable,
)

audio = Blueprint("audio", __name__, url_prefix="/v1/audio")
audio.after_app_request(convert_problem_to_openai_error)

_FORM_BYTES: Final = 1024 * 1024
_MAX_PARTS: Final = 20
_FILE_FIELD: Final = "file"
Model = Annotated[str, Field(min_length=1, max_length=200)]
TranscriptFormat = Literal["json", "text", "verbose_json", "srt", "vtt"]


class TranscriptionForm(Input):
    """The fields of a transcription besides the file."""

    model: Model
    language: Annotated[str, Field(pattern=r"^([a-z]{2,3})?$")] = ""
    response_format: TranscriptFormat = "json"
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.0
    prompt: Annotated[str, Field(max_length=10_000)] = ""


class TranscriptionResponse(BaseModel):
    """The text. `verbose_json` also has task, language, duration and segments."""

    text: str
    task: str | None = None
    language: str | None = None
    duration: float | None = None
    segments: Sequence[dict[str, Any]] | None = None


class SpeechInput(Input):
    """A text that is converted to speech.

    `model` is required, as in OpenAI's API. `model` and `instructions` have no effect: the server
    has one engine. `voice` is a voice of this engine. The names of OpenAI's voices stand for one
    that fits the language of the text.
    """

    model: Model
    input: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SPEECH_CHARACTERS)]
    voice: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+-]*$")] = ""
    response_format: AudioFormat | None = None
    speed: Annotated[float, Field(ge=0.25, le=4.0)] = 1.0
    instructions: Annotated[str, Field(max_length=10_000)] | None = None
    stream_format: Literal["audio"] = "audio"


@audio.post("/transcriptions")
@require_permission(Permission.CHAT_USE)
@accepts_form(
    file={"type": "string", "format": "binary", "x-required": True},
    model={"type": "string", "minLength": 1, "maxLength": 200, "x-required": True},
    language={"type": "string", "pattern": "^([a-z]{2,3})?$"},
    response_format={"type": "string", "enum": ["json", "text", "verbose_json", "srt", "vtt"]},
    temperature={"type": "number", "minimum": 0, "maximum": 1},
    prompt={"type": "string", "maxLength": 10_000},
)
@responds_with_stream(
    "text/plain",
    model=TranscriptionResponse,
    errors=(
        SpeechOff,
        SpeechUnavailable,
        SpeechEngineFailed,
        SpeechNotSupported,
        RecordingUnreadable,
        RecordingTooLong,
    ),
    error_model=OpenAIError,
)
@request_example({"file": "The bytes of a recording.", "model": "whisper-1"})
def create_transcription() -> Response:
    """Transcribe a recording of at most 25 MB.

    The server uses the engine that it is configured with, whatever `model` says; `temperature` and
    `prompt` have no effect. `srt`, `vtt` and the segments of `verbose_json` have times of windows
    of up to 30 seconds.
    """
    service = use(SpeechService)
    service.ensure_transcribes()
    form, content, media_type = _read_form()
    with _hold_slot():
        transcript = service.transcribe(content, media_type, form.language)
    return _render(transcript, form.response_format)


@audio.post("/speech")
@require_permission(Permission.CHAT_USE)
@validate_input(SpeechInput)
@responds_with_stream(
    *sorted(set(MEDIA_TYPES.values())),
    errors=(SpeechOff, SpeechUnavailable, SpeechEngineFailed, SpeechNotSupported),
    error_model=OpenAIError,
)
@request_example({"model": "tts-1", "input": "Your parcel arrives on Monday.", "voice": "alloy"})
def create_speech(body: SpeechInput) -> Response:
    """Convert a text of at most 4,096 characters to speech."""
    service = use(SpeechService)
    audio_format = service.choose_format(body.response_format)
    with _hold_slot():
        content = service.synthesize(body.input, audio_format, body.voice, body.speed)
    return Response(content, mimetype=MEDIA_TYPES[audio_format])


@contextmanager
def _hold_slot() -> Iterator[None]:
    """Hold a slot of waiting requests. Raises SpeechUnavailable if none is free."""
    slots = use(WaitSlots)
    if not slots.acquire_slot():
        raise SpeechUnavailable("Too many requests wait for a result.")
    try:
        yield
    finally:
        slots.release_slot()


def _read_form() -> tuple[TranscriptionForm, bytes, str]:
    """Return the fields, the file and its declared type.

    Raises:
        RecordingTooLong: the body is larger than the limit.
        HttpError: the body is not a form, or a field is invalid.
    """
    if request.mimetype != "multipart/form-data":
        raise HttpError(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send the recording as multipart/form-data, in a part named file.",
        )
    request.max_content_length = MAX_AUDIO_BYTES + _FORM_BYTES
    request.max_form_parts = _MAX_PARTS
    try:
        fields, files = request.form.to_dict(), request.files.getlist(_FILE_FIELD)
    except RequestEntityTooLarge as error:
        raise RecordingTooLong(f"The file may have at most {MAX_AUDIO_BYTES} bytes.") from error
    if len(files) != 1:
        raise invalid_field("#/file", "Send one recording in a part named file.")
    # OpenAI's clients send lists such as timestamp_granularities[] with every transcription.
    known = {name: value for name, value in fields.items() if not name.endswith("[]")}
    try:
        form = TranscriptionForm.model_validate_strings(known)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])[:60] if first["loc"] else ""
        raise invalid_field(f"#/{name}", f"{first['msg']}.") from None
    return form, files[0].stream.read(MAX_AUDIO_BYTES + 1), files[0].mimetype


def _render(transcript: Transcript, response_format: TranscriptFormat) -> Response:
    if response_format == "json":
        body = TranscriptionResponse(text=transcript.text).model_dump_json(exclude_none=True)
        return Response(body, content_type="application/json")
    if response_format == "verbose_json":
        return Response(_to_verbose(transcript).model_dump_json(), content_type="application/json")
    return Response(_TEXTS[response_format](transcript), content_type="text/plain; charset=utf-8")


def _to_verbose(transcript: Transcript) -> TranscriptionResponse:
    segments = [
        {"id": number, "start": segment.start, "end": segment.end, "text": segment.text}
        for number, segment in enumerate(_get_segments(transcript))
    ]
    return TranscriptionResponse(
        text=transcript.text,
        task="transcribe",
        language=transcript.language,
        duration=transcript.seconds,
        segments=segments,
    )


def _get_segments(transcript: Transcript) -> Sequence[TranscriptSegment]:
    if transcript.segments or not transcript.text:
        return transcript.segments
    return (TranscriptSegment(0.0, transcript.seconds, transcript.text),)


def _to_srt(transcript: Transcript) -> str:
    """Return subtitles in the format of SubRip."""
    return "".join(
        f"{number}\n{_format_times(segment, ',')}\n{segment.text}\n\n"
        for number, segment in enumerate(_get_segments(transcript), 1)
    )


def _to_vtt(transcript: Transcript) -> str:
    """Return subtitles as WebVTT."""
    parts = (
        f"{_format_times(segment, '.')}\n{segment.text}\n\n"
        for segment in _get_segments(transcript)
    )
    return "WEBVTT\n\n" + "".join(parts)


def _format_times(segment: TranscriptSegment, separator: str) -> str:
    return " --> ".join(_format_time(time, separator) for time in (segment.start, segment.end))


def _format_time(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{separator}{rest % 1000:03}"


_TEXTS: Final[Mapping[str, Callable[[Transcript], str]]] = {
    "text": lambda transcript: f"{transcript.text}\n",
    "srt": _to_srt,
    "vtt": _to_vtt,
}
