"""Settings of speech recognition and speech output."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from backend.chassis.settings import Env, SettingsError

_DEFAULT_MAX_SECONDS: Final = 600
_HIGHEST_MAX_SECONDS: Final = 3600
_MAX_THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class SpeechServer:
    """A server with OpenAI's audio API, and its model.

    Attributes:
        url: ends in the version, such as `https://api.openai.com/v1`.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)

    @property
    def host_and_port(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """The engines, and limits of recordings.

    Attributes:
        recognition: `off`, `embedded` or a server.
        output: `off`, `espeak` or a server.
        max_seconds: longest recording that is transcribed.
        threads: threads of the embedded engine.
        data_dir: folder of the suite; models are below it.
    """

    recognition: str | SpeechServer = "off"
    output: str | SpeechServer = "off"
    max_seconds: int = _DEFAULT_MAX_SECONDS
    threads: int = 1
    data_dir: Path = Path("data")

    @classmethod
    def from_env(cls, env: Env, data_dir: Path) -> Self:
        """Read VOICE_STT, VOICE_TTS, their keys and the limits. Raises SettingsError."""
        return cls(
            recognition=_read_engine(
                env, "VOICE_STT", "embedded", env.optional("VOICE_STT_API_KEY")
            ),
            output=_read_engine(env, "VOICE_TTS", "espeak", env.optional("VOICE_TTS_API_KEY")),
            max_seconds=_read_limit(
                env, "VOICE_MAX_SECONDS", _DEFAULT_MAX_SECONDS, _HIGHEST_MAX_SECONDS
            ),
            threads=_read_limit(env, "VOICE_THREADS", 1, _MAX_THREADS),
            data_dir=data_dir,
        )


def _read_engine(env: Env, name: str, engine: str, key: str | None) -> str | SpeechServer:
    text = env.text(name, "off")
    return text if text in ("off", engine) else _parse_server(name, text, engine, key)


def _parse_server(name: str, text: str, engine: str, key: str | None) -> SpeechServer:
    url, _, model = text.partition("#")
    problem = _find_problem(url, model)
    if problem is not None:
        # The value is not repeated: it can contain a key.
        raise SettingsError(
            f"{name} {problem}. Use off, {engine}, or URL#MODEL such as "
            "https://api.openai.com/v1#whisper-1."
        )
    return SpeechServer(url.rstrip("/"), model, key)


def _find_problem(url: str, model: str) -> str | None:
    """Return what is wrong with an address, or None."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        return "is neither an engine nor an http(s) URL"
    if parts.username is not None or parts.query:
        return "contains a user name or a query. Set the key in the variable with _API_KEY"
    if not model or len(model) > 200 or not model.isprintable() or " " in model:
        return "names no model after #"
    return None


def _read_limit(env: Env, name: str, default: int, highest: int) -> int:
    value = env.number(name, default, min_value=1)
    if value > highest:
        raise SettingsError(f"{name} must be at most {highest}; it is {value}.")
    return value
