"""VOICE_STT, VOICE_TTS and the limits."""

from pathlib import Path

import pytest

from backend.ai.speech.settings import SpeechServer, SpeechSettings
from backend.chassis.settings import Env, SettingsError


def read(**values: str) -> SpeechSettings:
    return SpeechSettings.from_env(Env(values), Path("/data"))


def test_speech_is_off_by_default() -> None:
    settings = read()

    assert (settings.recognition, settings.output, settings.max_seconds) == ("off", "off", 600)


def test_server_has_a_key_of_its_own() -> None:
    settings = read(
        VOICE_STT="https://api.openai.com/v1/#whisper-1",
        VOICE_STT_API_KEY="one",
        VOICE_TTS="http://10.0.0.5:8000/v1#kokoro",
    )

    assert settings.recognition == SpeechServer("https://api.openai.com/v1", "whisper-1", "one")
    assert settings.output == SpeechServer("http://10.0.0.5:8000/v1", "kokoro")
    assert "one" not in repr(settings)


@pytest.mark.parametrize(
    "value",
    [
        "on",
        "espeak",
        "whisper-1",
        "ftp://example.org#model",
        "https://#model",
        "https://example.org/v1",
        "https://example.org/v1#",
        "https://example.org/v1#two words",
        "https://example.org:port/v1#model",
    ],
)
def test_invalid_engine_is_rejected_with_the_possible_values(value: str) -> None:
    with pytest.raises(SettingsError, match=r"VOICE_STT .* Use off, embedded, or URL#MODEL"):
        read(VOICE_STT=value)


def test_key_in_the_url_is_rejected_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="_API_KEY") as failure:
        read(VOICE_TTS="https://user:sesame@example.org/v1#model")
    assert "sesame" not in str(failure.value)


@pytest.mark.parametrize("name", ["VOICE_MAX_SECONDS", "VOICE_THREADS"])
@pytest.mark.parametrize("value", ["0", "3601", "many"])
def test_limit_out_of_range_is_rejected(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(**{name: value})
