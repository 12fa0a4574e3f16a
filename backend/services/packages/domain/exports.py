"""Exports of packages as CSV, JSON lines and XLSX.

Packages are read in batches, each in a transaction of its own, so that memory use and the duration
of transactions do not depend on the number of packages.
"""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from typing import IO, Any, Final

from backend.chassis.csv_cells import FORMULA_STARTS, make_formula_safe
from backend.services.packages.domain.packages import Caller, PackageService
from backend.services.packages.errors import ExportTooLarge, FormatUnavailable
from backend.services.packages.model import Cursor, PackageFilter, PackageTexts, Sort

_BATCH: Final = 1000
_READ_BYTES: Final = 64 * 1024
_LOCATION_FIELDS: Final = ("name", "country", "postal_code", "code", "lat", "lon")
COLUMNS: Final[tuple[str, ...]] = (
    "id",
    "tracking_number",
    "carrier",
    "status",
    "sub_status",
    "reference",
    *(f"origin_{name}" for name in _LOCATION_FIELDS),
    *(f"destination_{name}" for name in _LOCATION_FIELDS),
    "service",
    "weight_g",
    "shipped_at",
    "promised_at",
    "started_at",
    "delivered_at",
    "late",
    "eta_p10",
    "eta_p50",
    "eta_p90",
    "late_probability",
    "last_event_code",
    "last_event_at",
    "event_count",
    "tags",
    "metadata",
    "created_at",
    "updated_at",
)


_LATE: Final = COLUMNS.index("late")
_COMPUTED: Final = frozenset(
    {
        *("id", "status", "weight_g", "shipped_at", "promised_at", "started_at", "delivered_at"),
        *("late", "eta_p10", "eta_p50", "eta_p90", "late_probability", "last_event_at"),
        *("event_count", "created_at", "updated_at"),
    }
)
_GUARDED: Final = [index for index, name in enumerate(COLUMNS) if name not in _COMPUTED]
_FORMULA_CHARACTERS: Final = frozenset(FORMULA_STARTS)


def iterate_rows(
    packages: PackageService, caller: Caller, conditions: PackageFilter, sort: Sort
) -> Iterator[PackageTexts]:
    """Yield the matching packages in order."""
    after: Cursor | None = None
    while True:
        batch, after = packages.list_rows(caller, conditions, sort, _BATCH, after)
        yield from batch
        if len(batch) < _BATCH:
            return


def write_jsonl(packages: Iterable[PackageTexts]) -> Iterator[bytes]:
    """Yield a JSON object in a line for each package."""
    lines: list[str] = []
    for package in packages:
        lines.append(build_json(package))
        if len(lines) == _BATCH:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
    if lines:
        yield ("\n".join(lines) + "\n").encode()


def write_csv(packages: Iterable[PackageTexts]) -> Iterator[bytes]:
    """Yield CSV (RFC 4180) with a header line. Spreadsheets execute no cell as a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for count, package in enumerate(packages, 1):
        writer.writerow(_guard_cells(build_cells(package)))
        if count % _BATCH == 0:
            yield _drain(buffer)
    yield _drain(buffer)


def open_xlsx(packages: Iterable[PackageTexts], max_rows: int) -> IO[bytes]:
    """Return a temporary file with a worksheet of the packages.

    Raises:
        ExportTooLarge: there are more than *max_rows* packages.
        FormatUnavailable: xlsxwriter is not installed.
    """
    try:
        import xlsxwriter
    except ImportError as error:
        raise FormatUnavailable from error
    # Closed by the response.
    file = tempfile.TemporaryFile()  # noqa: SIM115
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    try:
        with xlsxwriter.Workbook(file, options) as workbook:
            sheet = workbook.add_worksheet("packages")
            sheet.write_row(0, 0, COLUMNS)
            for count, package in enumerate(_limit(packages, max_rows), 1):
                for column, value in enumerate(build_cells(package)):
                    if isinstance(value, bool):
                        sheet.write_boolean(count, column, value)
                    elif isinstance(value, int | float):
                        sheet.write_number(count, column, value)
                    elif value is not None:
                        sheet.write_string(count, column, str(value)[:32_767])
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _limit(packages: Iterable[PackageTexts], max_rows: int) -> Iterator[PackageTexts]:
    for count, package in enumerate(packages):
        if count == max_rows:
            raise ExportTooLarge(max_rows)
        yield package


def read_file(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of *file*, then close it."""
    with file:
        yield from iter(lambda: file.read(_READ_BYTES), b"")


def build_cells(package: PackageTexts) -> list[Any]:
    """Return the values of COLUMNS."""
    event_code, event_at = _read_last_event(package.last_event)
    return [
        package.id,
        package.number,
        package.carrier,
        package.status,
        package.sub_status,
        package.reference,
        *_read_place(package.origin),
        *_read_place(package.destination),
        package.service,
        package.weight_g,
        format_text(package.shipped_at),
        format_text(package.promised_at),
        format_text(package.started_at),
        format_text(package.delivered_at),
        bool(package.is_late),
        format_text(package.eta_p10),
        format_text(package.eta_p50),
        format_text(package.eta_p90),
        package.late_probability,
        event_code,
        event_at,
        package.event_count,
        _join_tags(package.tags),
        None if package.metadata == "{}" else package.metadata,
        format_text(package.created_at),
        format_text(package.updated_at),
    ]


def build_json(package: PackageTexts) -> str:
    """Return the package as the JSON object that clients see."""
    eta = "null"
    if package.eta_p50 is not None:
        eta = (
            f'{{"p10": {_quote_time(package.eta_p10)}, "p50": {_quote_time(package.eta_p50)}, '
            f'"p90": {_quote_time(package.eta_p90)}, '
            f'"late_probability": {_dump(package.late_probability)}, '
            f'"basis": {{"samples": {package.eta_samples or 0}, '
            f'"group": {_dump(package.eta_group or "")}}}}}'
        )
    return (
        f'{{"id": "{package.id}", "tracking_number": {_dump(package.number)}, '
        f'"carrier": {_dump(package.carrier)}, "status": "{package.status}", '
        f'"sub_status": {_dump(package.sub_status)}, '
        f'"started_at": {_quote_time(package.started_at)}, '
        f'"delivered_at": {_quote_time(package.delivered_at)}, '
        f'"last_event": {package.last_event or "null"}, "event_count": {package.event_count}, '
        f'"reference": {_dump(package.reference)}, "origin": {package.origin or "null"}, '
        f'"destination": {package.destination or "null"}, "service": {_dump(package.service)}, '
        f'"weight_g": {_dump(package.weight_g)}, '
        f'"shipped_at": {_quote_time(package.shipped_at)}, '
        f'"promised_at": {_quote_time(package.promised_at)}, '
        f'"late": {"true" if package.is_late else "false"}, "eta": {eta}, '
        f'"tags": {package.tags}, "metadata": {package.metadata}, "version": {package.version}, '
        f'"created_by": {_dump(package.created_by)}, '
        f'"created_at": {_quote_time(package.created_at)}, '
        f'"updated_at": {_quote_time(package.updated_at)}}}'
    )


def format_text(time: str | None) -> str | None:
    """Return a stored time in the format of RFC 3339, as `format_time` writes it."""
    if time is None:
        return None
    return f"{time[:10]}T{time[11:19] if time[19:] == '.000000' else time[11:]}Z"


def _quote_time(time: str | None) -> str:
    return "null" if time is None else f'"{format_text(time)}"'


def _dump(value: str | float | None) -> str:
    if value is None:
        return "null"
    return encode_basestring(value) if isinstance(value, str) else repr(value)


# Many packages have the same places and tags.
@lru_cache(maxsize=1024)
def _read_place(text: str | None) -> tuple[Any, ...]:
    place: Mapping[str, Any] = json.loads(text) if text else {}
    return tuple(place.get(name) for name in _LOCATION_FIELDS)


@lru_cache(maxsize=1024)
def _join_tags(text: str) -> str:
    return ";".join(json.loads(text))


def _read_last_event(text: str | None) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    event: Mapping[str, Any] = json.loads(text)
    return event["code"], event["occurred_at"]


def _guard_cells(cells: list[Any]) -> list[Any]:
    """Make the cells safe whose text a client or a carrier gave, and write the boolean as text."""
    for index in _GUARDED:
        value = cells[index]
        if value.__class__ is str and value[:1] in _FORMULA_CHARACTERS:
            cells[index] = make_formula_safe(value)
    cells[_LATE] = "true" if cells[_LATE] else "false"
    return cells


def _drain(buffer: io.StringIO) -> bytes:
    content = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return content
