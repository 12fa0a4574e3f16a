"""Limits of the files of an import, and errors of lines."""

from typing import Final

MAX_LINES: Final = 100_000
MAX_LINE_CHARACTERS: Final = 64 * 1024


class InvalidLine(Exception):
    """A line cannot be imported. The message has the reason; *pointer* is the invalid field."""

    def __init__(self, detail: str, code: str = "validation_failed", pointer: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.pointer = pointer
