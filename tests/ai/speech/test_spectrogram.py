"""The spectrogram has the parameters that Whisper was trained with."""

import numpy as np
import pytest

from backend.ai.speech.spectrogram import SAMPLE_RATE, WINDOW_SAMPLES, compute_spectrogram


def sine(hertz: float, seconds: float = 30.0) -> np.ndarray:
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def test_window_has_80_bands_and_3000_frames() -> None:
    spectrogram = compute_spectrogram(sine(440, seconds=1.0))

    assert (spectrogram.shape, spectrogram.dtype) == ((80, 3000), np.float32)


def test_long_recording_is_cut_to_one_window() -> None:
    long = np.concatenate([sine(440), sine(2000)])

    assert np.array_equal(compute_spectrogram(long), compute_spectrogram(long[:WINDOW_SAMPLES]))


# Slaney's scale: 81 steps of 0.56 mel up to 45.25 mel, linear with 15 mel at 1,000 Hz.
@pytest.mark.parametrize(("hertz", "band"), [(250, 6), (1000, 26), (4000, 62)])
def test_tone_is_strongest_in_its_band(hertz: float, band: int) -> None:
    assert abs(int(compute_spectrogram(sine(hertz))[:, 1000].argmax()) - band) <= 1


def test_values_are_limited_to_eight_decades_below_the_maximum() -> None:
    spectrogram = compute_spectrogram(sine(1000, seconds=1.0))

    assert spectrogram.max() - spectrogram.min() == pytest.approx(2.0, abs=1e-4)
    assert np.allclose(compute_spectrogram(np.zeros(0, np.float32)), -1.5)
