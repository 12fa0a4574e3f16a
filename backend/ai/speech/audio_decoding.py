"""Decode files of unknown senders to samples. Runs only in `process.py`, under its limits."""

from collections.abc import Iterator
from io import BytesIO
from typing import Final

import numpy as np
import soundfile

from backend.ai.speech.engines import READABLE_FORMATS, SpeechFailed
from backend.ai.speech.resampling import resample
from backend.ai.speech.spectrogram import SAMPLE_RATE, Samples
from backend.ai.speech.webm_audio import UnsupportedAudio, convert_webm_to_ogg

_MIN_RATE: Final = 4_000
_MAX_RATE: Final = 192_000
_MAX_CHANNELS: Final = 8
_BLOCK_SECONDS: Final = 10
_WEBM: Final = b"\x1aE\xdf\xa3"
# Formats of recordings whose decoders have licences that do not permit to ship them, by the bytes
# at their beginning.
_UNSUPPORTED: Final = (
    (4, b"ftyp", "MP4 or M4A"),
    (0, b"#!AMR", "AMR"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)
_ZIP: Final = b"PK\x03\x04"


def decode_audio(content: bytes, max_seconds: int) -> Samples:
    """Return the samples of a recording: mono, 16 kHz, between -1 and 1.

    A recording that ends early, such as a truncated file, is decoded up to there.

    Raises:
        SpeechFailed: *content* is no audio that can be read, or longer than *max_seconds*.
    """
    content = _prepare(content)
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            _check_properties(file.samplerate, file.channels)
            blocks = list(_read_blocks(file, max_seconds))
    except (soundfile.SoundFileError, EOFError, ValueError) as error:
        raise _not_audio("The file is no audio, or it is damaged.") from error
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not len(samples):
        raise _not_audio("The file contains no samples.")
    # Some files contain samples that are no numbers.
    return np.clip(np.nan_to_num(samples, posinf=0.0, neginf=0.0), -1.0, 1.0)


def _prepare(content: bytes) -> bytes:
    """Return *content* in a form that libsndfile reads, if there is one."""
    if content.startswith(_ZIP):
        raise _not_audio("The file is a ZIP archive.")
    for offset, magic, name in _UNSUPPORTED:
        if content[offset : offset + len(magic)] == magic:
            raise _unsupported(name)
    if not content.startswith(_WEBM):
        return content
    try:
        return convert_webm_to_ogg(content)
    except UnsupportedAudio as error:
        raise _unsupported("WebM or Matroska without Opus") from error


def _check_properties(rate: int, channels: int) -> None:
    if not (_MIN_RATE <= rate <= _MAX_RATE and channels <= _MAX_CHANNELS):
        raise _not_audio(
            f"The file has {channels} channels of {rate} Hz. At most {_MAX_CHANNELS} channels of "
            f"{_MIN_RATE} to {_MAX_RATE} Hz can be read."
        )


def _read_blocks(file: soundfile.SoundFile, max_seconds: int) -> Iterator[Samples]:
    """Yield mono blocks at 16 kHz. The length in the header is not trusted."""
    rate = file.samplerate
    frames_left = max_seconds * rate
    while True:
        block = file.read(_BLOCK_SECONDS * rate, dtype="float32", always_2d=True)
        if not len(block):
            return
        frames_left -= len(block)
        if frames_left < 0:
            raise SpeechFailed(
                "audio_too_long",
                f"The recording is longer than {max_seconds} seconds, the limit of this server.",
            )
        yield resample(block.mean(axis=1), rate, SAMPLE_RATE)


def _unsupported(name: str) -> SpeechFailed:
    return SpeechFailed(
        "unsupported_recording",
        f"The file is {name}, which the speech recognition of this host cannot decode. Set "
        f"VOICE_STT to a server that can. Formats that can be read here: {READABLE_FORMATS}.",
    )


def _not_audio(reason: str) -> SpeechFailed:
    return SpeechFailed("not_audio", f"{reason} Formats that can be read: {READABLE_FORMATS}.")
