"""Checks that `doctor` runs for chat."""

from collections.abc import Iterator

from backend.ai.speech.embedded import ESPEAK_ADVICE, find_espeak
from backend.ai.speech.model_files import (
    FETCH_COMMAND,
    INSTALL_COMMAND,
    are_packages_installed,
    is_downloaded,
)
from backend.ai.speech.settings import SpeechServer, SpeechSettings
from backend.chassis.data_encryption.checks import check_encryption
from backend.chassis.diagnostics import Finding, check_connection, error, warning
from backend.services.chat.sealed_data import describe_sealed_data
from backend.services.chat.settings import Settings


def run_checks(settings: Settings, *, tables_ok: bool, running: bool) -> Iterator[Finding]:
    """Yield the problems of the chat service."""
    del running
    for name in settings.mongodb_variables:
        yield warning(
            "chat",
            f"{name} is set, but the suite does not use MongoDB.",
            "Conversations and messages are stored in DATABASE_URL, or in chat.db in DATA_DIR. "
            "Nothing is read from or written to MongoDB.",
            f"Remove {name}.",
        )
    file = settings.common.data_dir / "chat.db"
    if tables_ok and (not settings.database_url.startswith("sqlite") or file.exists()):
        yield from check_encryption(describe_sealed_data(settings))
    yield from _check_recognition(settings.speech)
    yield from _check_output(settings.speech)


def _check_recognition(speech: SpeechSettings) -> Iterator[Finding]:
    consequence = "Voice messages are not transcribed. Colleagues have to answer them."
    if isinstance(speech.recognition, SpeechServer):
        yield from _check_server("VOICE_STT", speech.recognition, consequence)
    if speech.recognition != "embedded":
        return
    if not are_packages_installed():
        problem = "VOICE_STT is embedded, but the extra voice is not installed."
        yield error("chat", problem, consequence, INSTALL_COMMAND)
    if not is_downloaded(speech.data_dir):
        problem = "VOICE_STT is embedded, but the Whisper model is not downloaded."
        yield error("chat", problem, consequence, f".venv/bin/{FETCH_COMMAND}")


def _check_output(speech: SpeechSettings) -> Iterator[Finding]:
    if isinstance(speech.output, SpeechServer):
        yield from _check_server("VOICE_TTS", speech.output, "Answers are sent without speech.")
    if speech.output != "espeak":
        return
    if find_espeak() is None:
        yield error(
            "chat",
            "VOICE_TTS is espeak, but neither espeak-ng nor espeak is installed.",
            "Answers are sent without speech.",
            ESPEAK_ADVICE,
        )
    if not are_packages_installed():
        yield warning(
            "chat",
            "VOICE_TTS is espeak, but the extra voice is not installed.",
            "Speech is written as WAV only. WhatsApp and Telegram do not accept it, so answers are "
            "sent to them without speech.",
            INSTALL_COMMAND,
        )


def _check_server(name: str, server: SpeechServer, consequence: str) -> Iterator[Finding]:
    if (reason := check_connection(server.url)) is not None:
        yield warning(
            "chat",
            f"The server {server.host_and_port} of {name} does not respond ({reason}).",
            consequence,
            f"Start it, or correct {name}. docs/operations/voice.md describes the format.",
        )
