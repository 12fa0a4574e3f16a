"""The engines of this host: bounds, hostile files, and real recordings.

Tests of Whisper need its model. Set VOICE_TEST_DATA to a data folder with it:

    DATA_DIR=FOLDER .venv/bin/python -m backend.services.chat fetch-model
"""

import os
import resource
import struct
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest

from backend.ai.speech import embedded
from backend.ai.speech.embedded import EmbeddedTranscriber, EspeakSynthesizer, find_espeak
from backend.ai.speech.engines import AudioFormat, SpeechFailed, SpeechRequest
from backend.ai.speech.model_files import MODEL_PARTS, are_packages_installed, is_downloaded
from backend.ai.speech.processes import ProcessFailed, run_process
from backend.ai.speech.settings import SpeechSettings

RECORDINGS = Path(__file__).parents[2] / "data" / "speech"
MODEL_DATA = Path(os.environ.get("VOICE_TEST_DATA", "data"))

needs_extra = pytest.mark.skipif(
    not are_packages_installed(), reason="the extra voice is not installed"
)
needs_model = pytest.mark.skipif(
    not (are_packages_installed() and is_downloaded(MODEL_DATA)),
    reason="the Whisper model is not downloaded; see VOICE_TEST_DATA in this file",
)
needs_espeak = pytest.mark.skipif(find_espeak() is None, reason="espeak-ng is not installed")


@pytest.fixture
def transcriber() -> EmbeddedTranscriber:
    return EmbeddedTranscriber(SpeechSettings(recognition="embedded", data_dir=MODEL_DATA))


@pytest.fixture
def without_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedTranscriber:
    """A transcriber that decodes, and fails when it loads the model."""
    monkeypatch.setattr(embedded, "is_downloaded", lambda _data_dir: True)
    settings = SpeechSettings(recognition="embedded", data_dir=tmp_path, max_seconds=60)
    return EmbeddedTranscriber(settings)


def transcribe(transcriber: EmbeddedTranscriber, content: bytes) -> str:
    return transcriber.transcribe(content, "", "", 120.0).text


def build_wav(seconds: float, *, rate: int = 8000, frequency: float = 0.0) -> bytes:
    import numpy as np

    times = np.arange(int(seconds * rate)) / rate
    samples = (8000 * np.sin(2 * np.pi * frequency * times)).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    data = b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(form) + len(data)) + b"WAVE" + form + data


def read_recording(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


HOSTILE = {
    "empty": b"",
    "text": b"Hello, I am no recording. " * 100,
    "header only": b"RIFF\xff\xff\xff\xffWAVE",
    "huge header": b"RIFF\xff\xff\xff\xffWAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 0xFFFF, 192_000, 0xFFFF_FFFF, 0xFFFF, 32)
    + b"data\xff\xff\xff\xff"
    + bytes(1000),
    "zip": b"PK\x03\x04" + bytes(1000),
    "webm": b"\x1aE\xdf\xa3" + bytes(1000),
    "mp4": b"\0\0\0\x20ftypM4A " + bytes(1000),
    "ogg page": b"OggS" + b"\xff" * 1000,
    "mp3 header": b"\xff\xfb\x90\x00" + b"\xff" * 100,
    "flac header": b"fLaC" + b"\xff" * 1000,
}


@needs_extra
@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_file_that_is_no_recording_is_rejected(
    without_model: EmbeddedTranscriber, name: str
) -> None:
    with pytest.raises(SpeechFailed) as failure:
        transcribe(without_model, HOSTILE[name])
    codes = {"not_audio", "unsupported_recording", "recognition_failed"}
    assert failure.value.code in codes
    assert not failure.value.is_temporary


@needs_extra
def test_text_is_no_recording(without_model: EmbeddedTranscriber) -> None:
    with pytest.raises(SpeechFailed, match="Formats that can be read: WAV"):
        transcribe(without_model, b"Hello, I am no recording. " * 100)


@needs_extra
@pytest.mark.slow
def test_truncated_recording_ends_without_a_crash(without_model: EmbeddedTranscriber) -> None:
    content = read_recording("parcel-en.opus")
    for size in (40, 300, 5_000):
        with pytest.raises(SpeechFailed):  # decoded or not: there is no model
            transcribe(without_model, content[:size])


@needs_extra
@pytest.mark.slow
def test_recording_over_the_limit_is_rejected_with_the_limit(
    without_model: EmbeddedTranscriber,
) -> None:
    import numpy as np
    import soundfile

    hour = BytesIO()
    soundfile.write(hour, np.zeros(8000 * 3600, np.int16), 8000, format="FLAC")
    assert len(hour.getvalue()) < 100_000

    with pytest.raises(SpeechFailed, match="60 seconds") as failure:
        transcribe(without_model, hour.getvalue())
    assert failure.value.code == "audio_too_long"


@pytest.mark.parametrize("command", [("run", "/bin/cat"), ("run", "/bin/sleep", "60")])
@pytest.mark.slow
def test_process_that_exceeds_a_limit_is_killed(command: tuple[str, ...]) -> None:
    with pytest.raises(ProcessFailed):
        run_process(
            command,
            bytes(200_000),
            max_memory_bytes=2**30,
            timeout_seconds=2.0,
            max_output_bytes=100_000,
        )


def test_process_gets_no_secrets_and_cannot_write_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "sesame")
    file = tmp_path / "written"
    script = f"env; echo text > {file}; test -s {file} || echo unwritten"

    output = run_process(
        ["run", "/bin/sh", "-c", script],
        b"",
        max_memory_bytes=2**30,
        timeout_seconds=20.0,
        max_output_bytes=10_000,
    )

    assert b"sesame" not in output
    assert b"unwritten" in output


def test_missing_model_is_named_with_the_command(tmp_path: Path) -> None:
    transcriber = EmbeddedTranscriber(SpeechSettings(recognition="embedded", data_dir=tmp_path))
    with pytest.raises(SpeechFailed, match=r"install --extra voice|fetch-model") as failure:
        transcribe(transcriber, b"OggS")
    assert failure.value.is_temporary


def test_incomplete_model_counts_as_missing(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "whisper-base"
    folder.mkdir(parents=True)
    for part in MODEL_PARTS:
        (folder / part.filename).write_bytes(b"incomplete")

    assert not is_downloaded(tmp_path)


@needs_model
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "language", "words"),
    [
        ("parcel-en.opus", "en", ("Hello", "parcel")),
        ("parcel-en.webm", "en", ("Hello", "parcel")),
        ("parcel-de.opus", "de", ("Guten Tag",)),
    ],
)
def test_recording_is_transcribed(
    transcriber: EmbeddedTranscriber, name: str, language: str, words: tuple[str, ...]
) -> None:
    transcript = transcriber.transcribe(read_recording(name), "audio/ogg", "", 120.0)

    assert transcript.language == language
    assert all(word.lower() in transcript.text.lower() for word in words)
    assert transcript.seconds == pytest.approx(4, abs=0.3)


@needs_model
@pytest.mark.slow
@pytest.mark.parametrize("frequency", [0.0, 440.0])
def test_silence_and_tones_have_no_text(transcriber: EmbeddedTranscriber, frequency: float) -> None:
    assert transcribe(transcriber, build_wav(20, frequency=frequency)) == ""


@needs_model
@needs_espeak
@pytest.mark.slow
def test_thirty_seconds_are_transcribed_in_windows(transcriber: EmbeddedTranscriber) -> None:
    sentences = " ".join(f"This is sentence number {number}." for number in range(1, 28))
    speech = EspeakSynthesizer().synthesize(SpeechRequest(sentences), 60.0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    transcript = transcriber.transcribe(speech, "audio/wav", "en", 120.0)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{seconds:.2f} CPU seconds for {transcript.seconds} seconds")  # noqa: T201 - a figure
    assert len(transcript.segments) == -(-int(transcript.seconds) // 30)
    assert transcript.text.count("number") >= 24


@needs_espeak
def test_text_is_spoken_as_wav_with_its_size() -> None:
    wav = EspeakSynthesizer().synthesize(SpeechRequest("Your parcel arrives."), 30.0)

    assert (wav[:4], wav[8:12]) == (b"RIFF", b"WAVE")
    assert int.from_bytes(wav[40:44], "little") == len(wav) - 44


@needs_espeak
def test_text_cannot_become_an_option_of_the_program() -> None:
    speech = EspeakSynthesizer().synthesize(SpeechRequest("-w /tmp/file; $(id) <mark>"), 30.0)

    assert speech[:4] == b"RIFF"


@needs_espeak
@needs_extra
@pytest.mark.slow
@pytest.mark.parametrize(
    ("audio_format", "magic"),
    [("mp3", b"\xff"), ("opus", b"OggS"), ("flac", b"fLaC"), ("wav", b"RIFF"), ("pcm", b"")],
)
def test_speech_has_the_requested_format(audio_format: AudioFormat, magic: bytes) -> None:
    speech = EspeakSynthesizer().synthesize(SpeechRequest("Hello there", audio_format), 30.0)

    assert speech.startswith(magic)
    assert len(speech) > 1_000


@needs_espeak
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (SpeechRequest("Hello", "aac"), "unsupported_format"),
        (SpeechRequest("Hello", voice="/etc/passwd"), "unsupported_voice"),
        (SpeechRequest("Hello", voice="zz"), "unsupported_voice"),
    ],
)
def test_unsupported_speech_is_rejected(request_: SpeechRequest, code: str) -> None:
    with pytest.raises(SpeechFailed) as failure:
        EspeakSynthesizer().synthesize(request_, 30.0)
    assert failure.value.code == code


def test_second_recording_waits_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    release, started = threading.Event(), threading.Event()

    def run(*_: object, **__: object) -> bytes:
        started.set()
        release.wait(10)
        return b'{"text": "Hello", "language": "en", "seconds": 1, "segments": []}'

    monkeypatch.setattr(embedded, "run_process", run)
    monkeypatch.setattr(embedded, "are_packages_installed", lambda: True)
    monkeypatch.setattr(embedded, "is_downloaded", lambda _data_dir: True)
    transcriber = EmbeddedTranscriber(SpeechSettings(recognition="embedded"))
    first = threading.Thread(target=transcribe, args=(transcriber, b""))
    first.start()
    assert started.wait(10)
    with pytest.raises(SpeechFailed, match="Another recording") as failure:
        transcriber.transcribe(b"", "", "", 0.05)
    release.set()
    first.join(10)

    assert failure.value.is_temporary
    assert transcribe(transcriber, b"") == "Hello"


def test_time_in_the_queue_is_part_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[float] = []

    def run(*_: object, timeout_seconds: float, **__: object) -> bytes:
        timeouts.append(timeout_seconds)
        return b'{"text": "Hello", "language": "en", "seconds": 1, "segments": []}'

    monkeypatch.setattr(embedded, "run_process", run)
    monkeypatch.setattr(embedded, "are_packages_installed", lambda: True)
    monkeypatch.setattr(embedded, "is_downloaded", lambda _data_dir: True)
    transcriber = EmbeddedTranscriber(SpeechSettings(recognition="embedded"))
    transcriber._slot.acquire()
    second = threading.Thread(target=transcribe, args=(transcriber, b""))
    second.start()
    time.sleep(0.3)
    transcriber._slot.release()
    second.join(10)

    assert 110 < timeouts[0] <= 119.8
