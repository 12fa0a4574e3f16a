"""Encode speech into the formats of channels and clients. Runs only in `process.py`."""

from io import BytesIO
from typing import Final

import numpy as np
import soundfile

from backend.ai.speech.engines import AudioFormat, SpeechFailed
from backend.ai.speech.resampling import resample

# Format and subtype of libsndfile.
_FORMATS: Final[dict[str, tuple[str, str]]] = {
    "wav": ("WAV", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
    "flac": ("FLAC", "PCM_16"),
    "pcm": ("RAW", "PCM_16"),
}
_OUTPUT_RATE: Final = 24_000
"""Sample rate of OpenAI's `pcm`. Opus accepts it too, but not the 22,050 Hz of espeak."""


def encode_wav(content: bytes, audio_format: AudioFormat) -> bytes:
    """Return the samples of a WAV file in *audio_format*, mono at 24 kHz.

    Raises:
        SpeechFailed: *content* is no WAV file.
    """
    container, subtype = _FORMATS[audio_format]
    try:
        samples, rate = soundfile.read(BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise SpeechFailed("speech_failed", "The speech cannot be encoded.") from error
    resampled = resample(samples.mean(axis=1), rate, _OUTPUT_RATE)
    target = BytesIO()
    soundfile.write(
        target,
        np.clip(resampled, -1.0, 1.0),
        _OUTPUT_RATE,
        format=container,
        subtype=subtype,
        endian="LITTLE" if container == "RAW" else None,
    )
    return target.getvalue()
