"""Export and import of packages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, ValidationError

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import (
    accepts_text,
    responds_with,
    responds_with_stream,
)
from backend.security import (
    HttpError,
    Permission,
    require_permission,
    validate_query,
)
from backend.security.content_coding import open_body
from backend.security.validation import find_nuls
from backend.services.packages.domain import exports, imports
from backend.services.packages.domain.event_recording import EventService, PackageReport
from backend.services.packages.domain.event_schemas import TrackingEventInput
from backend.services.packages.domain.import_errors import InvalidLine
from backend.services.packages.domain.imports import Line
from backend.services.packages.domain.packages import PackageService
from backend.services.packages.errors import ExportTooLarge, FormatUnavailable, InvalidFile
from backend.services.packages.model import PackageTexts
from backend.services.packages.routes.packages import build_filter, build_sort, get_caller
from backend.services.packages.routes.schemas import (
    FilterQuery,
    PackageInput,
)

transfers = Blueprint("transfers", __name__)
_MAX_IMPORT_BYTES = 10 * 1024 * 1024
_CSV = "text/csv"
_IMPORT_EXAMPLES = {
    _CSV: (
        "tracking_number,carrier,reference,event_code,event_occurred_at\n"
        "1Z5R89390357567127,ups,order-4713,picked_up,2026-06-10T08:00:00Z\n"
    ),
    "application/x-ndjson": (
        '{"tracking_number": "1Z5R89390357567127", "carrier": "ups", "reference": "order-4713"}\n'
    ),
}
_JSONL = "application/x-ndjson"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_JSONL_TYPES = (_JSONL, "application/jsonl", "application/json-lines", "application/jsonlines")
_MAX_EVENTS_PER_LINE = 500


class ExportQuery(FilterQuery):
    format: Literal["csv", "jsonl", "xlsx"] = "csv"


class ImportedLine(PackageInput):
    """A line of JSON lines: a package, and optionally its events."""

    events: Annotated[list[TrackingEventInput], Field(max_length=_MAX_EVENTS_PER_LINE)] = Field(
        default_factory=list
    )


class LineError(BaseModel):
    """The reason why a line was not imported. `pointer` is the invalid field."""

    line: int
    code: str
    detail: str
    pointer: str | None = None


class ImportResponse(BaseModel):
    """Numbers of lines by outcome, and the first 1000 errors.

    `existing` counts lines of packages that existed: their events were added, their fields were not
    changed. `events` is the number of added events.
    """

    lines: int
    created: int
    existing: int
    events: int
    failed: int
    errors: Sequence[LineError]


@transfers.get("/packages/export")
@require_permission(Permission.PACKAGES_READ)
@validate_query(ExportQuery)
@responds_with_stream(_CSV, _JSONL, _XLSX, errors=(ExportTooLarge, FormatUnavailable))
def export_packages(query: ExportQuery) -> Response:
    """Download the packages that match the filters of the list.

    CSV and JSON lines are streamed. In CSV, cells that a spreadsheet would calculate begin with an
    apostrophe. XLSX has at most 200,000 rows.
    """
    conditions, sort, caller = build_filter(query), build_sort(query), get_caller()
    service = use(PackageService)

    def iterate() -> Iterator[PackageTexts]:
        return exports.iterate_rows(service, caller, conditions, sort)

    name = f"packages.{query.format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if query.format == "xlsx":
        max_rows = service.quotas.export_rows
        if service.count_packages(caller, conditions, max_rows + 1) > max_rows:
            raise ExportTooLarge(max_rows)
        file = exports.open_xlsx(iterate(), max_rows)
        return Response(exports.read_file(file), headers=headers, content_type=_XLSX)
    if query.format == "csv":
        content = exports.write_csv(iterate())
        return Response(content, headers=headers, content_type=f"{_CSV}; charset=utf-8")
    return Response(exports.write_jsonl(iterate()), headers=headers, content_type=_JSONL)


@transfers.post("/packages/import")
@require_permission(Permission.PACKAGES_WRITE)
@responds_with(ImportResponse, errors=(InvalidFile,))
@accepts_text(_IMPORT_EXAMPLES)
def import_packages() -> ImportResponse:
    """Import packages and events from CSV (`text/csv`) or JSON lines (`application/x-ndjson`).

    The columns of CSV are those of the export; computed ones are ignored. Commas, semicolons or
    tabs separate them, as in the header. `event_code`, `event_occurred_at` and so on add an event,
    so that a package may have several lines. A JSON line is a package as `POST /packages` takes
    it, with `events`, or a line of the export, whose computed fields are ignored. Bad lines are
    reported with their numbers, and the others are imported. A file may have 10 MB and 100,000
    lines, and can be encoded with gzip.
    """
    lines = _open_lines()
    result = imports.import_lines(use(EventService), get_caller(), lines, _parse_line)
    return ImportResponse(
        lines=result.lines,
        created=result.created,
        existing=result.existing,
        events=result.events,
        failed=result.failed,
        errors=[LineError(**error) for error in result.errors],
    )


def _open_lines() -> Iterator[Line]:
    if (request.content_length or 0) > _MAX_IMPORT_BYTES:
        raise _too_large()
    request.max_content_length = _MAX_IMPORT_BYTES
    if request.mimetype == _CSV:
        return imports.read_csv(open_body())
    if request.mimetype in _JSONL_TYPES:
        return imports.read_jsonl(open_body())
    raise HttpError(
        415,
        "unsupported_media_type",
        "Unsupported media type",
        f"Send the body as {_CSV} or {_JSONL}.",
    )


def _parse_line(content: Mapping[str, Any]) -> PackageReport:
    try:
        # Numbers and texts have their types already; times are texts as in JSON.
        line = ImportedLine.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        pointer = "#/" + "/".join(str(part) for part in first["loc"])
        detail = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidLine(detail, pointer=pointer) from None
    for location in find_nuls(line):
        pointer = "#/" + "/".join(str(part) for part in location)
        raise InvalidLine("Text must not contain a NUL character.", pointer=pointer)
    return PackageReport(
        number=line.tracking_number,
        carrier=line.carrier,
        fields=line.to_fields(),
        events=[event.to_event_input() for event in line.events],
    )


def _too_large() -> HttpError:
    return HttpError(
        413,
        "too_large",
        "Body too large",
        f"The body may have at most {_MAX_IMPORT_BYTES} bytes.",
    )
