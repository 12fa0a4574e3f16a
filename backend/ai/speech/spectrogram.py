"""Log-mel spectrograms as Whisper expects them.

Parameters of the reference implementation (Radford et al. 2022, "Robust Speech Recognition via
Large-Scale Weak Supervision", section 2.2, and `whisper/audio.py`): 16 kHz, windows of 30 s, a
Fourier transform of 400 samples every 160 samples with a periodic Hann window, 80 mel bands of
Slaney's scale with the area of each filter normalised, logarithms to base 10, limited to 8 below
the maximum, scaled by (x + 4) / 4.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

SAMPLE_RATE: Final = 16_000
WINDOW_SECONDS: Final = 30
WINDOW_SAMPLES: Final = SAMPLE_RATE * WINDOW_SECONDS
BANDS: Final = 80
_FFT_SAMPLES: Final = 400
_HOP_SAMPLES: Final = 160
_FRAMES: Final = WINDOW_SAMPLES // _HOP_SAMPLES
_RANGE: Final = 8.0
_MIN_POWER: Final = 1e-10
# Slaney's mel scale: linear below 1 kHz, logarithmic above.
_LINEAR_HZ: Final = 200 / 3
_BREAK_HZ: Final = 1_000.0
_BREAK_MEL: Final = _BREAK_HZ / _LINEAR_HZ
_LOG_STEP: Final = np.log(6.4) / 27


def compute_spectrogram(samples: Samples) -> npt.NDArray[np.float32]:
    """Return the log-mel spectrogram of one window, with the shape (80, 3000).

    Args:
        samples: mono at 16 kHz between -1 and 1. Fewer than 30 s are padded with silence, more are
            cut.
    """
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    used = samples[:WINDOW_SAMPLES]
    window[: len(used)] = used
    padded = np.pad(window, _FFT_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::_HOP_SAMPLES]
    # The reference implementation drops the last of 3,001 frames.
    spectrum = np.fft.rfft(frames[:_FRAMES] * _hann_window(), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    logarithms = np.log10(np.maximum(_mel_filters() @ power.T, _MIN_POWER))
    limited = np.maximum(logarithms, logarithms.max() - _RANGE)
    return np.ascontiguousarray((limited + 4.0) / 4.0, np.float32)


@cache
def _hann_window() -> npt.NDArray[np.float32]:
    positions = np.arange(_FFT_SAMPLES) / _FFT_SAMPLES
    return (0.5 - 0.5 * np.cos(2 * np.pi * positions)).astype(np.float32)


@cache
def _mel_filters() -> npt.NDArray[np.float32]:
    """Return triangular filters with the shape (80, 201), each with the same area."""
    frequencies = np.linspace(0, SAMPLE_RATE / 2, _FFT_SAMPLES // 2 + 1)
    edges = _to_hertz(np.linspace(0, _to_mel(SAMPLE_RATE / 2), BANDS + 2))
    widths = np.diff(edges)
    slopes = edges[:, None] - frequencies[None, :]
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    areas = 2.0 / (edges[2:] - edges[:-2])
    return np.asarray(filters * areas[:, None], np.float32)


def _to_mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _LINEAR_HZ
    return float(_BREAK_MEL + np.log(hertz / _BREAK_HZ) / _LOG_STEP)


def _to_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, logarithmic)
