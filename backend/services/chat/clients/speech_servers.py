"""Speech recognition and speech output by a server with OpenAI's audio API.

https://platform.openai.com/docs/api-reference/audio
"""

import json
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from backend.ai.speech.engines import (
    AUDIO_FORMATS,
    MAX_AUDIO_BYTES,
    AudioFormat,
    SpeechFailed,
    SpeechRequest,
    Transcript,
)
from backend.ai.speech.settings import SpeechServer
from backend.security.outbound import AllowedHost
from backend.services.chat.clients.multipart import encode_form
from backend.services.chat.clients.provider_http import (
    OutcomeUnknown,
    ProviderHttp,
    ProviderResponse,
    RequestNotSent,
)

_MAX_TRANSCRIPT_BYTES: Final = 4 * 1024 * 1024
_TIMEOUT_SECONDS: Final = 120.0
# A longer duration is an error of the server: a recording has at most 25 MB.
_MAX_SECONDS: Final = 86_400
_TEMPORARY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_DEFAULT_VOICE: Final = "alloy"
# Servers recognise a format by the file name. Some of our media types have several endings.
_ENDINGS: Final = {
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/wav": ".wav",
    "video/webm": ".webm",
    "audio/webm": ".webm",
    "video/mp4": ".mp4",
}


class _SpeechClient:
    """Sends requests to one server."""

    def __init__(self, server: SpeechServer) -> None:
        self._server = server
        parts = urlsplit(server.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        # The operator names the server, so it may be in the own network.
        self._http = ProviderHttp(
            (AllowedHost.parse(f"{host}:{port}"),), timeout_seconds=_TIMEOUT_SECONDS
        )

    @property
    def model(self) -> str:
        return self._server.model

    def post(
        self, path: str, body: bytes, content_type: str, max_response_bytes: int
    ) -> ProviderResponse:
        """Send a request and return the response. Raises SpeechFailed if it is an error."""
        headers = {"Content-Type": content_type}
        if self._server.key is not None:
            headers["Authorization"] = f"Bearer {self._server.key}"
        try:
            response = self._http.send(
                "POST",
                f"{self._server.url}{path}",
                (),
                headers=headers,
                body=body,
                max_response_bytes=max_response_bytes,
            )
        except (RequestNotSent, OutcomeUnknown) as error:
            raise SpeechFailed(
                "engine_unavailable", "The speech server does not respond.", is_temporary=True
            ) from error
        if response.is_too_large:
            raise SpeechFailed("engine_rejected", "The response of the speech server is too large.")
        if response.status != 200:
            raise self._to_failure(response)
        return response

    def _to_failure(self, response: ProviderResponse) -> SpeechFailed:
        error = response.json.get("error")
        message = error.get("message") if isinstance(error, Mapping) else None
        detail = f"The speech server responds with status {response.status}"
        if isinstance(message, str) and message:
            # Callers of the API and colleagues read it. Some servers repeat a rejected key.
            if self._server.key:
                message = message.replace(self._server.key, "[key]")
            detail = f"{detail}: {message[:300]}"
        if response.status in _TEMPORARY:
            return SpeechFailed("engine_unavailable", detail, is_temporary=True)
        return SpeechFailed("engine_rejected", detail)


class ServerTranscriber:
    """Transcribes with `POST URL/audio/transcriptions`."""

    def __init__(self, server: SpeechServer) -> None:
        self._client = _SpeechClient(server)

    def transcribe(
        self, content: bytes, media_type: str, language: str, timeout_seconds: float
    ) -> Transcript:
        del timeout_seconds  # the client has a limit of its own
        ending = _ENDINGS.get(media_type) or mimetypes.guess_extension(media_type) or ".ogg"
        fields: dict[str, str | tuple[str, bytes, str]] = {
            "file": (f"recording{ending}", content, media_type or "application/octet-stream"),
            "model": self._client.model,
            # The only format that all of OpenAI's models support.
            "response_format": "json",
        }
        if language:
            fields["language"] = language
        body, content_type = encode_form(fields)
        response = self._client.post(
            "/audio/transcriptions", body, content_type, _MAX_TRANSCRIPT_BYTES
        )
        return _read_transcript(response.json, language)


def _read_transcript(fields: Mapping[str, Any], language: str) -> Transcript:
    text = fields.get("text")
    if not isinstance(text, str):
        raise SpeechFailed("engine_rejected", "The response of the speech server has no text.")
    found = fields.get("language")
    return Transcript(
        text.strip(),
        found if isinstance(found, str) and found.isascii() and found.isprintable() else language,
        _read_seconds(fields.get("duration")),
    )


def _read_seconds(value: object) -> float:
    """Return a duration, or 0 if *value* is none: JSON of Python can contain NaN and Infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= _MAX_SECONDS else 0.0


class ServerSynthesizer:
    """Synthesizes speech with `POST URL/audio/speech`."""

    def __init__(self, server: SpeechServer) -> None:
        self._client = _SpeechClient(server)

    @property
    def formats(self) -> Sequence[AudioFormat]:
        return AUDIO_FORMATS

    def synthesize(self, request: SpeechRequest, timeout_seconds: float) -> bytes:
        del timeout_seconds  # the client has a limit of its own
        body = {
            "model": self._client.model,
            "input": request.text,
            "voice": request.voice or _DEFAULT_VOICE,
            "response_format": request.audio_format,
            "speed": request.speed,
        }
        response = self._client.post(
            "/audio/speech", json.dumps(body).encode(), "application/json", MAX_AUDIO_BYTES
        )
        is_audio = not (response.headers.get("content-type") or "").startswith(
            ("application/json", "text/")
        )
        if not response.content or not is_audio:
            raise SpeechFailed("engine_rejected", "The response of the speech server is no audio.")
        return response.content
