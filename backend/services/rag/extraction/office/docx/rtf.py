"""Read the text of Rich Text Format (RTF 1.9.1), which may be inserted into DOCX files.

The library striprtf is not used: its pattern for hyperlinks takes quadratic time for a long line.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

_TOKEN: Final = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,9})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+"
    rb"|([^\\{}\r\n]+)|\\"
)
# Groups without text of the document. Groups that begin with \* are skipped too.
_SKIPPED_GROUPS: Final = frozenset({
    "fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "themedata", "datastore",
    "fldinst", "header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf",
    "listtable", "listoverridetable", "rsidtbl", "generator", "xmlnstbl", "bkmkstart", "bkmkend",
})  # fmt: skip
_TEXTS: Final = {
    "par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "cell": "\t", "tab": "\t",
    "nestcell": "\t", "nestrow": "\n", "emdash": "—", "endash": "–", "bullet": "•",  # noqa: RUF001
    "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ",  # noqa: RUF001
    "enspace": " ",
}  # fmt: skip
_SYMBOLS: Final = {b"~": "\xa0", b"_": "-", b"-": "\xad", b"\n": "\n", b"\r": "\n"}
_CHARSETS: Final = {
    0: "cp1252", 77: "mac-roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "cp950",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257",
    204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _State:
    """Properties of a group. They lose their effect at its end."""

    is_skipped: bool = False
    is_font_table: bool = False
    is_hidden: bool = False
    # Number of bytes after a Unicode character that replace it in programs without Unicode.
    replacement_bytes: int = 1
    font: int = -1


class _RtfReader:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._bytes = bytearray()
        self._state = _State()
        self._outer_states: list[_State] = []
        self._encoding = "cp1252"
        self._font_encodings: dict[int, str] = {}
        # Number of replacement bytes or characters that still have to be skipped.
        self._bytes_to_skip = 0

    def read(self, content: bytes) -> str:
        position = 0
        while match := _TOKEN.match(content, position):
            position = match.end()
            word, argument, code, symbol, brace, text = match.groups()
            if code is not None:
                self._add_bytes(bytes.fromhex(code.decode()))
            elif text is not None:
                self._add_bytes(text)
            elif brace is not None:
                self._process_brace(brace)
            elif symbol is not None:
                self._process_symbol(symbol)
            elif word is not None:
                number = int(argument) if argument is not None else None
                self._process_word(word.decode(), number)
                if word == b"bin":
                    position += max(number or 0, 0)
        self._flush()
        text = "".join(self._parts)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _process_brace(self, brace: bytes) -> None:
        self._flush()
        self._bytes_to_skip = 0
        if brace == b"{":
            self._outer_states.append(self._state)
        elif self._outer_states:
            self._state = self._outer_states.pop()

    def _process_symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._state = replace(self._state, is_skipped=True)
        elif symbol in (b"\\", b"{", b"}"):
            self._add_bytes(symbol)
        else:
            self._add_text(_SYMBOLS.get(symbol, ""))

    def _process_word(self, word: str, number: int | None) -> None:
        if word == "u" and number is not None:
            self._add_text(chr(number % 0x10000))
            self._bytes_to_skip = self._state.replacement_bytes
        elif word in _TEXTS:
            self._add_text(_TEXTS[word])
        elif word in _SKIPPED_GROUPS:
            self._flush()
            is_font_table = word == "fonttbl"
            self._state = replace(self._state, is_skipped=True, is_font_table=is_font_table)
        else:
            self._process_property(word, number)

    def _process_property(self, word: str, number: int | None) -> None:
        if word == "uc":
            self._state = replace(self._state, replacement_bytes=max(number or 0, 0))
        elif word == "ansicpg" and number is not None:
            self._encoding = _find_encoding(number) or self._encoding
        elif word == "f" and number is not None:
            self._flush()
            self._state = replace(self._state, font=number)
        elif word == "fcharset" and self._state.is_font_table and number in _CHARSETS:
            self._font_encodings[self._state.font] = _CHARSETS[number]
        elif word in ("v", "deleted"):
            self._flush()
            self._state = replace(self._state, is_hidden=number != 0)
        elif word == "plain":
            self._flush()
            self._state = replace(self._state, is_hidden=False, font=-1)

    def _add_bytes(self, content: bytes) -> None:
        skipped = min(self._bytes_to_skip, len(content))
        self._bytes_to_skip -= skipped
        if not (self._state.is_skipped or self._state.is_hidden):
            self._bytes += content[skipped:]

    def _add_text(self, text: str) -> None:
        self._flush()
        if not (self._state.is_skipped or self._state.is_hidden):
            self._parts.append(text)

    def _flush(self) -> None:
        """Decode the collected bytes together: a character may consist of several bytes."""
        if self._bytes:
            encoding = self._font_encodings.get(self._state.font, self._encoding)
            self._parts.append(self._bytes.decode(encoding, "replace"))
            self._bytes.clear()


def read_rtf(content: bytes) -> str:
    """Return the text of *content*, with tabs between the cells of a row."""
    return _RtfReader().read(content)


def _find_encoding(code_page: int) -> str:
    """Return the name of a Windows code page, or "" if it is not supported."""
    name = {65001: "utf-8", 10000: "mac-roman", 936: "gbk"}.get(code_page, f"cp{code_page}")
    try:
        "".encode(name)
    except LookupError:
        return ""
    return name
