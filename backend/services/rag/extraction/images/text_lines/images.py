"""Arrays of pixels, and their conversion to the inputs of the models."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Rows, columns, channels in the order blue, green, red.
ImageArray = NDArray[np.uint8]


def resize_to_input(image: Image.Image, width: int, height: int) -> NDArray[np.float32]:
    """Return *image* resized, with values from -1 to 1, of shape (channels, rows, columns)."""
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(resized, dtype=np.float32).transpose(2, 0, 1)
    return np.asarray(values / 127.5 - 1.0, dtype=np.float32)
