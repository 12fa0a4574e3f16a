"""Resolve the labels of encodings."""

import codecs
from typing import Final

from backend.ai.text.turbohtml_modules import skip_package_import

# Encodings that use 7-bit bytes only. The Encoding standard replaces most of them with U+FFFD,
# since they hide markup from filters; here they are text of mail and files.
SEVEN_BIT_ENCODINGS: Final = {
    "utf-7": "utf_7",
    "unicode-1-1-utf-7": "utf_7",
    "iso-2022-jp": "iso2022_jp_ext",
    "csiso2022jp": "iso2022_jp_ext",
    "iso-2022-jp-1": "iso2022_jp_1",
    "iso-2022-jp-2": "iso2022_jp_2",
    "iso-2022-jp-3": "iso2022_jp_3",
    "iso-2022-jp-2004": "iso2022_jp_2004",
    "iso-2022-kr": "iso2022_kr",
    "csiso2022kr": "iso2022_kr",
    "hz-gb-2312": "hz",
    "hz": "hz",
}
# Labels that mean another encoding on the Web than in Python, or that both do not know.
_ALIASES: Final = {
    "x-user-defined": "windows-1252",
    "ks-c-5601-1987": "cp949",
    "ks-c-5601-1989": "cp949",
    "ksc-5601": "cp949",
    "x-mac-roman": "macintosh",
    "x-mac-ce": "mac_latin2",
    "x-mac-centraleurroman": "mac_latin2",
    "x-mac-greek": "mac_greek",
    "x-mac-turkish": "mac_turkish",
}
# Python codecs that are not encodings of files, or that take quadratic time.
_EXCLUDED_CODECS: Final = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape"})


def normalize_label(label: str) -> str:
    """Return *label* in lower case without surrounding white space and quotation marks."""
    return label.strip(" \t\r\n\f\"'").lower().replace("_", "-")


def find_codec(label: str) -> str | None:
    """Return the name of the codec for *label*, or None.

    The labels of the Encoding standard (section 4.2) have precedence over Python's.
    """
    skip_package_import()
    import turbohtml.detect  # noqa: F401 - registers the codecs of the Encoding standard

    name = normalize_label(label)
    name = SEVEN_BIT_ENCODINGS.get(name) or _ALIASES.get(name) or name
    for codec in (f"whatwg-{name}", name):
        try:
            is_text = (
                b"a".decode(codec) == "a" and codecs.lookup(codec).name not in _EXCLUDED_CODECS
            )
        except (LookupError, ValueError):
            continue
        if is_text:
            return codec
    return None
