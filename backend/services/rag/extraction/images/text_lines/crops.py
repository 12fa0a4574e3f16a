"""Cut lines out of an image, rotated to horizontal."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A crop whose height is at least this many widths contains a vertical line.
_MIN_VERTICAL_RATIO = 1.5
# Smaller lines are enlarged, so that gaps between letters are measured in fractions of a pixel.
_MIN_HEIGHT = 48


def crop_line(image: Image.Image, corners: NDArray[np.float32]) -> Image.Image:
    """Return the pixels of *image* in a rectangle, enlarged if it is small.

    A rectangle that is much higher than wide is rotated to the left by 90 degrees.

    Args:
        corners: clockwise from the top left one, of shape (4, 2).
    """
    top_left, top_right, bottom_right, bottom_left = corners.astype(np.float64)
    across = (top_right - top_left + bottom_right - bottom_left) / 2
    down = (bottom_left - top_left + bottom_right - top_right) / 2
    sides = np.maximum(1, [np.hypot(*across), np.hypot(*down)])
    width, height = (max(1, round(side)) for side in sides * max(1, _MIN_HEIGHT / sides.min()))
    # Pillow requires the mapping from output to input. Its pixel centres are at 0.5, those of
    # *corners* at 0.
    (a, d), (b, e) = across / width, down / height
    x, y = top_left + 0.5 - 0.5 * np.array([a + b, d + e])
    crop = image.transform(
        (width, height),
        Image.Transform.AFFINE,
        (a, b, x, d, e, y),
        Image.Resampling.BICUBIC,
    )
    if height >= _MIN_VERTICAL_RATIO * width:
        return crop.transpose(Image.Transpose.ROTATE_90)
    return crop
