"""Estimate the number of tokens of a text without the tokenizer of the language model."""

import re
from math import ceil
from typing import Final

# Tokens are groups of about 3.6 UTF-8 bytes in Latin, Cyrillic, Arabic and East Asian scripts.
# Newer tokenizers split numbers into digits, and a space before a number is a token too.
_BYTES_PER_TOKEN: Final = 3.6
_NUMBERS: Final = re.compile(r"[0-9]+")


def estimate_tokens(text: str) -> int:
    """Return about how many tokens *text* has, rather too many than too few."""
    numbers = _NUMBERS.findall(text)
    digits = sum(map(len, numbers))
    return (
        digits
        + len(numbers)
        + ceil((len(text.encode("utf-8", "replace")) - digits) / _BYTES_PER_TOKEN)
    )
