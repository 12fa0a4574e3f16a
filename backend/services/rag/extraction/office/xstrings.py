"""Decode the escaped characters of spreadsheet strings (ST_Xstring, ECMA-376 Part 1, 22.9.2.19)."""

import re
from typing import Final

_ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")


def decode_xstring(text: str) -> str:
    """Return *text* with `_x000D_` as the character U+000D; `_x005F_` is an underscore."""
    if "_x" not in text:
        return text
    decoded = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    # Characters above U+FFFF are escaped as two surrogates.
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
