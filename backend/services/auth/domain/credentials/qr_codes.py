"""QR codes (ISO/IEC 18004) of short texts."""

import segno

# Level M restores 15 % of a code, which suffices on a screen. Higher levels make modules smaller.
_ERROR_CORRECTION = "m"


def encode_qr_code(text: str) -> list[str]:
    """Return the modules of the QR code of *text* by row: "1" is dark, "0" is light.

    The rows do not contain the light margin of four modules that readers need around the code.

    Raises:
        ValueError: *text* is too long for a QR code.
    """
    code = segno.make_qr(text, error=_ERROR_CORRECTION)
    return ["".join(map(str, row)) for row in code.matrix]
