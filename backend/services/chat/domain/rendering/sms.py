"""Count the segments of SMS texts (3GPP TS 23.038: GSM 7-bit default alphabet and UCS-2)."""

from dataclasses import dataclass
from typing import Final, Literal

from backend.services.chat.domain.rendering.dialects import count_utf16_units

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these takes two septets: an escape and the character.
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
_SINGLE: Final = {"gsm7": 160, "ucs2": 70}
_CONCATENATED: Final = {"gsm7": 153, "ucs2": 67}

Encoding = Literal["gsm7", "ucs2"]


@dataclass(frozen=True, slots=True)
class SmsSize:
    """*units* are septets for gsm7 and UTF-16 code units for ucs2."""

    encoding: Encoding
    units: int
    segments: int


def measure_sms(text: str) -> SmsSize:
    """Return the encoding of *text* and the number of segments in which it is sent.

    A character is not divided between two segments: neither an escape sequence nor a pair of
    surrogates. A segment can therefore end before it is full.
    """
    is_gsm7 = all(character in _BASIC or character in _EXTENDED for character in text)
    encoding: Encoding = "gsm7" if is_gsm7 else "ucs2"
    sizes = [_get_size(character, is_gsm7=is_gsm7) for character in text]
    units = sum(sizes)
    if units <= _SINGLE[encoding]:
        return SmsSize(encoding, units, 1)
    segments, used = 1, 0
    for size in sizes:
        if used + size > _CONCATENATED[encoding]:
            segments, used = segments + 1, 0
        used += size
    return SmsSize(encoding, units, segments)


def _get_size(character: str, *, is_gsm7: bool) -> int:
    return 1 + (character in _EXTENDED) if is_gsm7 else count_utf16_units(character)
