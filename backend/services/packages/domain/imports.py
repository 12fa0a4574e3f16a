"""Import of packages and events from CSV or JSON lines, in batches of one transaction each."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from backend.chassis.csv_cells import remove_formula_guard
from backend.chassis.web.problems import ServiceError
from backend.services.packages.domain.csv_records import CsvRecord, read_records
from backend.services.packages.domain.event_recording import EventService, PackageReport
from backend.services.packages.domain.exports import COLUMNS
from backend.services.packages.domain.import_errors import (
    MAX_LINE_CHARACTERS,
    MAX_LINES,
    InvalidLine,
    parse_json,
)
from backend.services.packages.domain.packages import Caller
from backend.services.packages.errors import InvalidEvents, InvalidFile

MAX_ERRORS: Final = 1000
_BATCH: Final = 200
# Errors after which the rest of a file is not read. They are always reported.
_FINAL_CODES: Final = frozenset({InvalidFile.code, "too_many_lines"})
# Of the unknown columns that an error names.
_MAX_NAMES: Final = 10
_MAX_NAME_CHARACTERS: Final = 64
# Spreadsheets write whole numbers with one or two zeros. With three, 1.000 can be a thousand.
_WHOLE_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(\.0{1,2})?", re.ASCII)
_DECIMAL_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
_LOCATION_FIELDS: Final = ("name", "country", "postal_code", "code", "lat", "lon")
_EVENT_FIELDS: Final = ("code", "occurred_at", "reason", "detail", "external_id")
# Columns of exports that are computed. They are ignored.
_COMPUTED: Final = frozenset(
    {
        *("id", "status", "sub_status", "started_at", "delivered_at", "late"),
        *("eta_p10", "eta_p50", "eta_p90", "late_probability", "last_event_code"),
        *("last_event_at", "event_count", "created_at", "updated_at"),
    }
)
# Computed fields of packages in JSON. They are ignored as well.
_COMPUTED_FIELDS: Final = frozenset(
    {
        *("id", "status", "sub_status", "started_at", "delivered_at", "last_event"),
        *("event_count", "late", "eta", "version", "created_by", "created_at", "updated_at"),
    }
)
_CSV_COLUMNS: Final = frozenset(
    {
        *(set(COLUMNS) - _COMPUTED),
        *(f"event_{name}" for name in _EVENT_FIELDS),
        *(f"event_location_{name}" for name in _LOCATION_FIELDS),
    }
)


@dataclass(slots=True)
class ImportResult:
    """Numbers of lines by outcome, and the errors of MAX_ERRORS bad lines.

    Attributes:
        existing: lines of packages that existed; their fields were not changed.
        events: events that were added.
    """

    lines: int = 0
    created: int = 0
    existing: int = 0
    events: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def add_error(self, line: int, error: InvalidLine) -> None:
        self.failed += 1
        is_full = len(self.errors) == MAX_ERRORS
        if is_full and error.code not in _FINAL_CODES:
            return
        if is_full:
            self.errors.pop()
        entry = {"line": line, "code": error.code, "detail": str(error)}
        self.errors.append(entry | ({"pointer": error.pointer} if error.pointer else {}))


# Converts the JSON object of a line. Raises InvalidLine.
ParseLine = Callable[[Mapping[str, Any]], PackageReport]
Line = tuple[int, Mapping[str, Any] | InvalidLine]


def import_lines(
    events: EventService, caller: Caller, lines: Iterable[Line], parse_line: ParseLine
) -> ImportResult:
    """Import *lines*. Bad lines change nothing and do not stop the others."""
    result = ImportResult()
    batch: list[tuple[int, PackageReport]] = []
    for number, content in lines:
        result.lines += 1
        try:
            if isinstance(content, InvalidLine):
                raise content
            batch.append((number, parse_line(content)))
        except InvalidLine as error:
            result.add_error(number, error)
        if len(batch) == _BATCH:
            _import_batch(events, caller, batch, result)
            batch.clear()
    _import_batch(events, caller, batch, result)
    result.errors.sort(key=lambda error: error["line"])
    return result


def read_jsonl(stream: IO[bytes]) -> Iterator[Line]:
    """Yield number and content of each line that is not empty, without computed fields."""
    for number, text in _read_lines(stream):
        if isinstance(text, InvalidLine):
            yield number, text
            continue
        if not text.strip():
            continue
        try:
            content = parse_json(text, "line")
        except InvalidLine as error:
            yield number, error
            continue
        if isinstance(content, dict):
            yield (
                number,
                {name: content[name] for name in content if name not in _COMPUTED_FIELDS},
            )
        else:
            yield number, InvalidLine("The line is not a JSON object.", "malformed_json")


def read_csv(stream: IO[bytes]) -> Iterator[Line]:
    """Yield number and content of each row; the number is that of its first line.

    The header determines the separator: comma, semicolon or tab. If the file is not UTF-8 or has
    too many lines, the last item is an error.

    Raises:
        InvalidFile: the header is missing, or has unknown columns or none for the number.
    """
    records = read_records(io.TextIOWrapper(stream, "utf-8-sig", errors="strict", newline=None))
    header = _read_header(next(records, None))
    line = 0
    try:
        for record in records:
            line = record.last_line
            try:
                content = _parse_record(record, header)
            except InvalidLine as error:
                yield record.error_line, error
                continue
            if content is not None:
                yield record.line, content
    except InvalidFile as error:
        detail = f"{error} The lines from this one on were not imported."
        yield line + 1, InvalidLine(detail, error.code)


def _import_batch(
    events: EventService,
    caller: Caller,
    batch: Sequence[tuple[int, PackageReport]],
    result: ImportResult,
) -> None:
    if not batch:
        return
    outcomes = events.record_reports(caller, [report for _, report in batch], "import")
    for (number, _), outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, ServiceError):
            result.add_error(number, _to_line_error(outcome))
            continue
        recorded, created = outcome
        result.events += recorded.added
        if created:
            result.created += 1
        else:
            result.existing += 1


def _to_line_error(error: ServiceError) -> InvalidLine:
    if isinstance(error, InvalidEvents):
        first = (error.errors() or [])[0]
        return InvalidLine(first["detail"], error.code, first["pointer"])
    return InvalidLine(str(error), error.code)


def _read_lines(stream: IO[bytes]) -> Iterator[tuple[int, str | InvalidLine]]:
    """Yield the lines of *stream* with their numbers, without reading a long one into memory."""
    number = 0
    while line := stream.readline(MAX_LINE_CHARACTERS):
        number += 1
        if number > MAX_LINES:
            yield (
                number,
                InvalidLine(
                    f"A file can have at most {MAX_LINES} lines. The rest was not read.",
                    "too_many_lines",
                ),
            )
            return
        if len(line) == MAX_LINE_CHARACTERS and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE_CHARACTERS)) and not rest.endswith(b"\n"):
                pass
            yield number, InvalidLine(f"The line has more than {MAX_LINE_CHARACTERS} bytes.")
            continue
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            yield number, InvalidLine("The line is not UTF-8.", "malformed_json")


def _read_header(record: CsvRecord | None) -> list[str]:
    try:
        header = [name.strip().lower() for name in record.parse()] if record else []
    except InvalidLine as error:
        raise InvalidFile(f"The header is invalid. {error}") from error
    if any("\0" in name for name in header):
        raise InvalidFile("The file is not UTF-8, but perhaps UTF-16. Save it as CSV in UTF-8.")
    if "tracking_number" not in header:
        raise InvalidFile(
            "The header has no column tracking_number. Write the names of the columns in the first "
            "line, separated by commas, semicolons or tabs."
        )
    if "" in header:
        raise InvalidFile(
            f"The header has no name for column {header.index('') + 1}. Write one, or remove the "
            "column."
        )
    unknown = sorted(set(header) - _CSV_COLUMNS - _COMPUTED)
    if unknown:
        more = f" and {len(unknown) - _MAX_NAMES} more" if len(unknown) > _MAX_NAMES else ""
        names = ", ".join(name[:_MAX_NAME_CHARACTERS] for name in unknown[:_MAX_NAMES])
        raise InvalidFile(
            f"The header has unknown columns: {names}{more}. "
            f"Known are {', '.join(sorted(_CSV_COLUMNS))}."
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise InvalidFile(f"The header has the column {repeated[0]} more than once.")
    return header


def _parse_record(record: CsvRecord, header: Sequence[str]) -> dict[str, Any] | None:
    """Return the JSON object of a package, or None if all cells are empty."""
    row = record.parse()
    if not any(cell.strip() for cell in row):
        return None
    if len(row) != len(header):
        raise InvalidLine(
            f"The line has {len(row)} fields and the header {len(header)}.", "malformed_csv"
        )
    return _build_object(dict(zip(header, row, strict=True)))


def _build_object(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a CSV row as the JSON object of a package. Empty cells are left out."""
    cells = {
        name: remove_formula_guard(value).strip()
        for name, value in row.items()
        if name not in _COMPUTED and value.strip()
    }
    content: dict[str, Any] = {
        name: cells.pop(name)
        for name in ("tracking_number", "carrier", "reference", "service")
        if name in cells
    }
    content |= {name: cells.pop(name) for name in ("shipped_at", "promised_at") if name in cells}
    if weight := cells.pop("weight_g", None):
        content["weight_g"] = _parse_weight(weight)
    if tags := cells.pop("tags", None):
        content["tags"] = [tag.strip() for tag in tags.split(";") if tag.strip()]
    if metadata := cells.pop("metadata", None):
        content["metadata"] = parse_json(metadata, "metadata", "#/metadata")
    for end in ("origin", "destination"):
        if place := _take_place(cells, f"{end}_"):
            content[end] = place
    event_place = _take_place(cells, "event_location_")
    event = {name.removeprefix("event_"): value for name, value in cells.items()}
    if event or event_place:
        content["events"] = [event | ({"location": event_place} if event_place else {})]
    return content


def _take_place(cells: dict[str, str], prefix: str) -> dict[str, Any]:
    place: dict[str, Any] = {}
    for name in _LOCATION_FIELDS:
        value = cells.pop(f"{prefix}{name}", None)
        if value is not None:
            is_number = name in ("lat", "lon")
            place[name] = _parse_degrees(value, f"{prefix}{name}") if is_number else value
    return place


def _parse_weight(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise InvalidLine(
            f"{text[:40]!r} is not a whole number. Write the weight in grams, such as 1500.",
            pointer="#/weight_g",
        )
    return int(text.partition(".")[0])


def _parse_degrees(text: str, name: str) -> float:
    if not _DECIMAL_NUMBER.fullmatch(text):
        raise InvalidLine(
            f"{text[:40]!r} is not a number. Write it with a decimal point, such as 50.1.",
            pointer=f"#/{name}",
        )
    return float(text)
