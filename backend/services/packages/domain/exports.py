"""Exports of packages as CSV, JSON lines and XLSX.

Packages are read in batches, each in a transaction of its own, so that memory use and the duration
of transactions do not depend on the number of packages.
"""

import csv
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO, Any, Final

from backend.chassis.csv_cells import make_formula_safe
from backend.services.packages.domain import json_views
from backend.services.packages.domain.packages import Caller, PackageService
from backend.services.packages.errors import ExportTooLarge, FormatUnavailable
from backend.services.packages.model import Package, PackageFilter, Sort

_BATCH: Final = 1000
_READ_BYTES: Final = 64 * 1024
_LOCATION_FIELDS: Final = ("name", "country", "postal_code", "code", "lat", "lon")
COLUMNS: Final = (
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


def iterate_packages(
    packages: PackageService, caller: Caller, conditions: PackageFilter, sort: Sort
) -> Iterator[Package]:
    """Yield the matching packages in order."""
    after = None
    while True:
        batch = packages.list_packages(caller, conditions, sort, _BATCH, after)
        yield from batch
        if len(batch) < _BATCH:
            return
        after = (get_sort_value(batch[-1], sort), batch[-1].id)


def get_sort_value(package: Package, sort: Sort) -> datetime | None:
    """Return the value of *package* by which *sort* orders."""
    match sort.name:
        case "updated_at":
            return package.updated_at
        case "eta":
            return package.eta.p50 if package.eta else None
        case "promised_at":
            return package.promised_at
        case "delivered_at":
            return package.state.delivered_at
        case _:
            return package.created_at


def write_jsonl(packages: Iterator[Package]) -> Iterator[bytes]:
    """Yield a JSON object in a line for each package."""
    lines: list[str] = []
    for package in packages:
        lines.append(json.dumps(json_views.package_to_json(package), ensure_ascii=False))
        if len(lines) == _BATCH:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
    if lines:
        yield ("\n".join(lines) + "\n").encode()


def write_csv(packages: Iterator[Package]) -> Iterator[bytes]:
    """Yield CSV (RFC 4180) with a header line. Spreadsheets execute no cell as a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for count, package in enumerate(packages, 1):
        writer.writerow([make_formula_safe(value) for value in build_row(package)])
        if count % _BATCH == 0:
            yield _drain(buffer)
    yield _drain(buffer)


def open_xlsx(packages: Iterator[Package], max_rows: int) -> IO[bytes]:
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
                for column, value in enumerate(build_row(package)):
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


def _limit(packages: Iterator[Package], max_rows: int) -> Iterator[Package]:
    for count, package in enumerate(packages):
        if count == max_rows:
            raise ExportTooLarge(max_rows)
        yield package


def read_file(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of *file*, then close it."""
    with file:
        yield from iter(lambda: file.read(_READ_BYTES), b"")


def build_row(package: Package) -> list[Any]:
    """Return the values of COLUMNS."""
    content = json_views.package_to_json(package)
    eta: Mapping[str, Any] = content["eta"] or {}
    last: Mapping[str, Any] = content["last_event"] or {}
    derived = {
        "eta_p10": eta.get("p10"),
        "eta_p50": eta.get("p50"),
        "eta_p90": eta.get("p90"),
        "late_probability": eta.get("late_probability"),
        "last_event_code": last.get("code"),
        "last_event_at": last.get("occurred_at"),
        "tags": ";".join(package.tags),
        "metadata": json.dumps(dict(package.metadata)) if package.metadata else None,
    }
    for end in ("origin", "destination"):
        place: Mapping[str, Any] = content[end] or {}
        derived |= {f"{end}_{name}": place.get(name) for name in _LOCATION_FIELDS}
    return [derived[name] if name in derived else content[name] for name in COLUMNS]


def _drain(buffer: io.StringIO) -> bytes:
    content = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return content
