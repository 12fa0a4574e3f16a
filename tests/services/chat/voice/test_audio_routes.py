"""`/v1/audio`: OpenAI's routes, with stand-in engines and their faults."""

from io import BytesIO
from unittest.mock import Mock

import pytest

from backend.ai.speech.settings import SpeechServer, SpeechSettings
from backend.services.chat.domain.voice.speech import SpeechService
from backend.services.chat.errors import SpeechNotSupported
from tests.services.chat.voice.fakes import KEY, RECORDING, SPEECH


def transcribe(client, who, content=RECORDING, **fields):
    form = {"file": (BytesIO(content), "a.ogg", "audio/ogg"), "model": "whisper-1", **fields}
    return client.post(
        "/v1/audio/transcriptions",
        data={name: value for name, value in form.items() if value is not None},
        content_type="multipart/form-data",
        headers=who,
    )


def speak(client, who, **fields):
    body = {"model": "tts-1", "input": "Your parcel arrives.", "voice": "alloy", **fields}
    return client.post("/v1/audio/speech", json=body, headers=who)


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        ("text", "Where is my parcel?\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:02,500\nWhere is my parcel?\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nWhere is my parcel?\n\n"),
    ],
)
def test_transcript_has_the_requested_format(client, ada, servers, response_format, expected):
    servers.transcript = {"text": "Where is my parcel?", "duration": 2.5, "language": "en"}

    assert transcribe(client, ada, response_format=response_format).text == expected


def test_transcript_is_json_by_default(client, ada, servers):
    response = transcribe(client, ada, language="en", temperature="0.2")

    assert (response.status_code, response.json) == (200, {"text": "Where is my parcel?"})
    assert servers.transcriptions[0]["language"] == b"en"


def test_verbose_transcript_has_segments(client, ada, servers):
    servers.transcript = {"text": "Hello", "duration": 2.5, "language": "en"}

    assert transcribe(client, ada, response_format="verbose_json").json == {
        "text": "Hello",
        "task": "transcribe",
        "language": "en",
        "duration": 2.5,
        "segments": [{"id": 0, "start": 0.0, "end": 2.5, "text": "Hello"}],
    }


@pytest.mark.parametrize(
    ("fields", "status", "parameter"),
    [
        ({"content": b"just text"}, 400, None),
        ({"content": b""}, 400, None),
        ({"content": b"%PDF-1.7"}, 400, None),
        ({"content": b"OggS" + bytes(25 * 1024 * 1024)}, 413, None),
        ({"response_format": "xml"}, 422, "response_format"),
        ({"language": "English"}, 422, "language"),
        ({"temperature": "hot"}, 422, "temperature"),
        ({"model": None}, 422, "model"),
        ({"file": None}, 422, "file"),
        ({"speaker": "Ada"}, 422, "speaker"),
    ],
)
def test_invalid_transcription_gets_an_openai_error(client, ada, fields, status, parameter):
    response = transcribe(client, ada, **fields)

    assert response.status_code == status, response.text
    error = response.json["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", parameter)
    assert error["message"]


def test_empty_recording_is_reported_as_empty(client, ada):
    assert transcribe(client, ada, b"").json["error"]["message"] == (
        "The file is empty. Send a recording."
    )


def test_body_that_is_no_form_is_rejected(client, ada):
    response = client.post("/v1/audio/transcriptions", data=b"OggS", headers=ada)

    assert response.status_code == 415
    assert "multipart/form-data" in response.json["error"]["message"]


@pytest.mark.parametrize(("fault", "status"), [(429, 503), (500, 503), (400, 502), (401, 502)])
def test_fault_of_the_engine_is_reported(client, ada, servers, fault, status):
    servers.failures.append(fault)
    response = transcribe(client, ada)

    assert response.status_code == status
    assert response.json["error"]["type"] == "server_error"
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize("transcript", [[], {"text": 3}, {"words": []}, "text"])
def test_malformed_response_of_the_engine_is_reported(client, ada, servers, transcript):
    servers.transcript = transcript

    assert transcribe(client, ada).status_code == 502


@pytest.mark.parametrize("duration", [float("nan"), float("inf"), -1, 10**400, True, "2.5", None])
def test_invalid_duration_of_the_engine_is_ignored(client, ada, servers, duration):
    servers.transcript = {"text": "Hello", "duration": duration}

    expected = "1\n00:00:00,000 --> 00:00:00,000\nHello\n\n"
    assert transcribe(client, ada, response_format="srt").text == expected


def test_characters_that_no_database_stores_are_removed_from_a_transcript(client, ada, servers):
    servers.transcript = {"text": "Where\0 is\ud800 it?"}

    assert transcribe(client, ada).json == {"text": "Where is? it?"}


def test_key_that_the_engine_repeats_is_not_in_the_error(client, ada, servers):
    servers.failures.append(401)
    servers.failure_message = f"Incorrect API key provided: {KEY}."

    message = transcribe(client, ada).json["error"]["message"]
    assert message.endswith("status 401: Incorrect API key provided: [key].")


def test_text_is_spoken(client, ada, servers):
    response = speak(client, ada, response_format="opus", speed=1.5)

    assert (response.status_code, response.mimetype, response.data) == (200, "audio/ogg", SPEECH)
    assert servers.speeches == [
        {
            "model": "tts-1",
            "input": "Your parcel arrives.",
            "voice": "alloy",
            "response_format": "opus",
            "speed": 1.5,
        }
    ]


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"input": ""}, "input"),
        ({"input": "a" * 4097}, "input"),
        ({"speed": 9}, "speed"),
        ({"response_format": "midi"}, "response_format"),
        ({"voice": "../../etc"}, "voice"),
    ],
)
def test_invalid_speech_gets_an_openai_error(client, ada, fields, parameter):
    response = speak(client, ada, **fields)

    assert response.status_code == 422
    assert response.json["error"]["param"] == parameter


@pytest.mark.parametrize("name", ["midi", "aac"])
def test_format_that_the_engine_does_not_write_gets_the_list_of_its_formats(name):
    service = SpeechService(None, Mock(formats=("wav", "mp3")))

    with pytest.raises(SpeechNotSupported, match=r"Supported formats: wav, mp3\.$"):
        service.choose_format(name)


def test_anonymous_request_is_rejected(client):
    assert transcribe(client, {}).status_code == 401
    assert speak(client, {}).json["error"]["type"] == "authentication_error"


class TestWithoutEngines:
    """Neither VOICE_STT nor VOICE_TTS is set."""

    @pytest.fixture
    def speech(self):
        return SpeechSettings()

    def test_error_names_the_missing_setting(self, client, ada):
        assert "VOICE_STT" in transcribe(client, ada).json["error"]["message"]
        response = speak(client, ada)
        assert (response.status_code, response.json["error"]["code"]) == (404, "speech_off")


class TestWithoutServer:
    """The speech server does not respond."""

    @pytest.fixture
    def speech(self):
        server = SpeechServer("http://127.0.0.1:9/v1", "whisper-1")
        return SpeechSettings(recognition=server, output=server)

    def test_requests_are_to_be_retried(self, client, ada):
        response = transcribe(client, ada)

        assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
        assert speak(client, ada).status_code == 503
