"""Records of CSV files (RFC 4180), which can have line breaks in quoted fields.

The csv module reads one record each. Quotation marks are followed here to find where a record ends,
so that a record that is not closed or too long takes little memory and is reported with its line.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, cast

from backend.services.packages.domain.import_errors import (
    MAX_LINE_CHARACTERS,
    MAX_LINES,
    InvalidLine,
)
from backend.services.packages.errors import InvalidFile

_SEPARATORS: Final = (",", ";", "\t")
_QUOTED_TEXT: Final = re.compile(r'(?:[^"]++|"")*+')
_QUOTE_ADVICE: Final = (
    "Remove the quotation mark, or put the field in quotation marks and write each one in it twice."
)


class _QuoteState(Enum):
    """Position of a CSV parser in a record, as RFC 4180 defines fields."""

    FIELD_START = auto()
    UNQUOTED = auto()
    QUOTED = auto()
    # After a quotation mark in a quoted field: it ends the field, or is the first of two.
    QUOTE_IN_QUOTED = auto()
    # Text follows the end of a quoted field. The record ends with this line.
    MALFORMED = auto()


@dataclass(slots=True)
class CsvRecord:
    """The lines of one CSV record. The text of a record that is too long is not kept.

    Attributes:
        line: number of the first line.
        last_line: number of the last line.
        quote_line: number of the line where the latest quoted field begins, or 0.
        size: length in characters, with line ends.
    """

    separator: str
    line: int
    last_line: int = 0
    quote_line: int = 0
    size: int = 0
    parts: list[str] = field(default_factory=list)
    state: _QuoteState = _QuoteState.FIELD_START

    @property
    def is_quote_open(self) -> bool:
        return self.state is _QuoteState.QUOTED

    @property
    def error_line(self) -> int:
        """Line to report for an error: where the quote opens that is not closed, or the first."""
        is_quote_wrong = self.state in (_QuoteState.QUOTED, _QuoteState.MALFORMED)
        return self.quote_line if is_quote_wrong else self.line

    def add(self, number: int, part: str) -> None:
        """Add a line, or a part of a long one."""
        self.last_line = number
        self.size += len(part)
        if self.size > MAX_LINE_CHARACTERS:
            self.parts.clear()
        else:
            self.parts.append(part)
        is_in_field = self.state is not _QuoteState.FIELD_START
        if '"' in part or not part.endswith("\n") or (is_in_field and not self.is_quote_open):
            self._scan_quotes(number, part.removesuffix("\n"))

    def parse(self) -> list[str]:
        """Return the fields.

        Raises:
            InvalidLine: the record is too long, or it is not CSV.
        """
        if self.is_quote_open:
            raise InvalidLine(
                "A quotation mark opens a field in this line and is not closed, so the lines after "
                f"it were not imported. {_QUOTE_ADVICE}",
                "malformed_csv",
            )
        if self.size > MAX_LINE_CHARACTERS:
            raise InvalidLine(f"The line has more than {MAX_LINE_CHARACTERS} characters.")
        try:
            return next(csv.reader(self.parts, delimiter=self.separator, strict=True), [])
        except csv.Error as error:
            if self.last_line == self.error_line:
                detail = f"The line is not CSV: {error}."
            else:
                detail = (
                    "A quotation mark opens a field in this line, and text follows the quotation "
                    f"mark that closes it in line {self.last_line}. The lines from {self.line} to "
                    f"{self.last_line} were not imported. {_QUOTE_ADVICE}"
                )
            raise InvalidLine(detail, "malformed_csv") from None

    def _scan_quotes(self, number: int, part: str) -> None:
        position = 0
        while position < len(part) and self.state is not _QuoteState.MALFORMED:
            position = self._scan_field(number, part, position)

    def _scan_field(self, number: int, part: str, start: int) -> int:
        """Update the state by the text from *start*. Return the position where it changes again."""
        if self.state is _QuoteState.QUOTED:
            end = cast("re.Match[str]", _QUOTED_TEXT.match(part, start)).end()
            if end < len(part):
                self.state = _QuoteState.QUOTE_IN_QUOTED
            return end + 1
        if self.state is _QuoteState.QUOTE_IN_QUOTED:
            is_field_end = part[start] == self.separator
            after = _QuoteState.FIELD_START if is_field_end else _QuoteState.MALFORMED
            self.state = _QuoteState.QUOTED if part[start] == '"' else after
            return start + 1
        if self.state is _QuoteState.FIELD_START and part[start] == '"':
            quote = start
        else:
            quote = part.find(f'{self.separator}"', start) + 1
            if not quote:
                is_field_end = part.endswith(self.separator)
                self.state = _QuoteState.FIELD_START if is_field_end else _QuoteState.UNQUOTED
                return len(part)
        self.state = _QuoteState.QUOTED
        self.quote_line = number
        return quote + 1


def read_records(text: io.TextIOWrapper) -> Iterator[CsvRecord]:
    """Yield the records of a CSV file. At most MAX_LINE_CHARACTERS of each are in memory.

    Raises:
        InvalidFile: the file is not UTF-8 or has too many lines.
    """
    separator = ""
    record: CsvRecord | None = None
    for number, part in _read_line_parts(text):
        if not separator and not part.strip():
            continue  # empty lines before the header
        separator = separator or max(_SEPARATORS, key=part.count)
        record = record or CsvRecord(separator, number)
        record.add(number, part)
        if part.endswith("\n") and not record.is_quote_open:
            yield record
            record = None
    if record:
        yield record


def _read_line_parts(text: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line; a long line in several parts with the same number."""
    number = 1
    try:
        while part := text.readline(MAX_LINE_CHARACTERS):
            if number > MAX_LINES:
                raise InvalidFile(f"A file can have at most {MAX_LINES} lines.")
            yield number, part
            number += part.endswith("\n")
    except UnicodeDecodeError as error:
        raise InvalidFile(
            f"The file is not UTF-8 in line {number} or after it. Save it as CSV in UTF-8."
        ) from error
