"""Change the sample rate of recordings and speech."""

import numpy as np
import numpy.typing as npt


def resample(
    samples: npt.NDArray[np.float32], rate: int, target_rate: int
) -> npt.NDArray[np.float32]:
    """Return *samples* at *target_rate*: cut or extend their spectrum, which lets nothing alias."""
    count = round(len(samples) * target_rate / rate)
    if rate == target_rate or not count:
        return samples
    # irfft adds zeros to a spectrum that is too short.
    spectrum: npt.NDArray[np.complex128] = np.fft.rfft(samples)
    resampled = np.fft.irfft(spectrum[: count // 2 + 1], count) * (count / len(samples))
    return np.asarray(resampled, np.float32)
