"""Packages: create, list, read, change and delete them, and add their events."""

import re
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Permission,
    current_principal,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.packages.domain import json_views
from backend.services.packages.domain.event_recording import EventService
from backend.services.packages.domain.packages import Caller, PackageService
from backend.services.packages.domain.search_words import query_words
from backend.services.packages.domain.tracking_numbers import normalize
from backend.services.packages.errors import (
    CarrierUnknown,
    InvalidEvents,
    PackageExists,
    PackageNotFound,
    QuotaExceeded,
    TooManyEvents,
    VersionConflict,
)
from backend.services.packages.model import Cursor, Package, PackageFilter, Sort, Status
from backend.services.packages.routes.schemas import (
    EventPage,
    EventResponse,
    EventsInput,
    EventsResponse,
    FilterQuery,
    PackageInput,
    PackagePage,
    PackageQuery,
    PackageReplacement,
    PackageResponse,
    PackageUpdate,
)

packages = Blueprint("packages", __name__)
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')
_NO_VALUE = "-"
EXAMPLE_PACKAGE = {
    "tracking_number": "1Z5R89390357567127",
    "reference": "order-4711",
    "origin": {"name": "Frankfurt", "country": "DE", "code": "DEFRA"},
    "destination": {"name": "Portland", "country": "US", "postal_code": "97201"},
    "promised_at": "2030-02-03T17:00:00Z",
    "tags": ["fragile"],
}


def get_caller() -> Caller:
    """Return the tenant and the user of the current request."""
    principal = current_principal()
    return Caller(principal.tenant_id, principal.user_id)


def build_filter(query: FilterQuery) -> PackageFilter:
    """Return the conditions of *query*."""
    words = query_words(query.q) if query.q else ()
    if query.q and not words:
        raise invalid_field("#/q", "The query has no letter or digit.")
    return PackageFilter(
        status=Status(query.status) if query.status else None,
        carrier=query.carrier and query.carrier.lower(),
        number=query.tracking_number and normalize(query.tracking_number),
        reference=query.reference,
        origin=query.origin,
        destination=query.destination,
        late=query.late,
        tag=query.tag,
        words=words,
        created_since=query.created_since,
        created_until=query.created_until,
        eta_since=query.eta_since,
        eta_until=query.eta_until,
    )


def build_sort(query: FilterQuery) -> Sort:
    return Sort(query.sort.lstrip("-"), query.sort.startswith("-"))


@packages.get("/packages")
@require_permission(Permission.PACKAGES_READ)
@validate_query(PackageQuery)
@responds_with(PackagePage)
@request_example()
def list_packages(query: PackageQuery) -> PackagePage:
    """List the tenant's packages, newest first.

    Packages without a value of the sort field come last.
    """
    sort = build_sort(query)
    found = use(PackageService).list_packages(
        get_caller(), build_filter(query), sort, query.limit + 1, _read_cursor(query, sort)
    )
    page, next_cursor = paginate(found, query.limit, lambda package: _get_sort_key(package, sort))
    items = [to_response(package) for package in page]
    return PackagePage(items=items, next_cursor=next_cursor)


@packages.post("/packages")
@require_permission(Permission.PACKAGES_WRITE)
@validate_input(PackageInput)
@idempotent
@responds_with_stream(
    statuses=(201,), model=PackageResponse, errors=(CarrierUnknown, PackageExists, QuotaExceeded)
)
@request_example(EXAMPLE_PACKAGE)
def create_package(body: PackageInput) -> ResponseReturnValue:
    """Create a package.

    Without a carrier, it is identified by the number. If several carriers have such numbers, the
    response is 422 with the candidates.
    """
    package = use(PackageService).create_package(
        get_caller(), body.tracking_number, body.carrier, body.to_fields()
    )
    response = respond(package, 201)
    response.headers["Location"] = f"/packages/{package.id}"
    return response


@packages.get("/packages/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with_stream(model=PackageResponse, empty_statuses=(304,), errors=(PackageNotFound,))
def get_package(package_id: str) -> ResponseReturnValue:
    """Get a package and its `ETag`. With the same in `If-None-Match`, the response is 304."""
    package = use(PackageService).get_package(get_caller(), package_id)
    if package.version in (_read_versions("If-None-Match") or ()):
        return Response(status=304, headers={"ETag": f'"{package.version}"'})
    return respond(package)


@packages.put("/packages/<package_id>")
@require_permission(Permission.PACKAGES_WRITE)
@validate_input(PackageReplacement)
@responds_with_stream(model=PackageResponse, errors=(PackageNotFound, VersionConflict))
@request_example({"reference": "order-4712", "tags": ["fragile", "express"]})
def replace_package(body: PackageReplacement, package_id: str) -> ResponseReturnValue:
    """Replace all fields that clients set. Fields that are missing become empty."""
    _require_same_number(body, package_id)
    return _change(package_id, body.to_changes())


@packages.patch("/packages/<package_id>")
@require_permission(Permission.PACKAGES_WRITE)
@validate_input(PackageUpdate)
@responds_with_stream(model=PackageResponse, errors=(PackageNotFound, VersionConflict))
@request_example({"promised_at": "2030-02-05T17:00:00Z"})
def change_package(body: PackageUpdate, package_id: str) -> ResponseReturnValue:
    """Change some fields."""
    return _change(package_id, body.to_changes())


@packages.delete("/packages/<package_id>")
@require_permission(Permission.PACKAGES_WRITE)
@responds_with(status=204, errors=(PackageNotFound, VersionConflict))
def delete_package(package_id: str) -> None:
    """Delete a package with its events and investigations."""
    use(PackageService).delete_package(get_caller(), package_id, _read_versions("If-Match"))


@packages.get("/packages/<package_id>/events")
@require_permission(Permission.PACKAGES_READ)
@validate_query(PageQuery)
@responds_with(EventPage, errors=(PackageNotFound,))
def list_events(query: PageQuery, package_id: str) -> EventPage:
    """List the events of a package, oldest first."""
    events = use(EventService).list_events(
        get_caller(), package_id, query.limit + 1, query.decode_time_cursor()
    )
    page, next_cursor = paginate(
        events, query.limit, lambda event: (event.occurred_at.isoformat(), event.id)
    )
    items = [EventResponse.model_validate(json_views.event_to_json(event)) for event in page]
    return EventPage(items=items, next_cursor=next_cursor)


@packages.post("/packages/<package_id>/events")
@require_permission(Permission.PACKAGES_WRITE)
@validate_input(EventsInput)
@idempotent
@responds_with(EventsResponse, errors=(PackageNotFound, InvalidEvents, TooManyEvents))
@request_example(
    {
        "events": [
            {
                "code": "departed",
                "occurred_at": "2026-01-31T12:00:00+01:00",
                "location": {"code": "DEFRA", "country": "DE"},
            }
        ]
    }
)
def add_events(body: EventsInput, package_id: str) -> EventsResponse:
    """Add events, in any order. Repeated events are counted and not stored again."""
    result = use(EventService).record_events(
        get_caller(), package_id, [event.to_event_input() for event in body.events]
    )
    return EventsResponse(
        added=result.added, duplicates=result.duplicates, package=to_response(result.package)
    )


def to_response(package: Package) -> PackageResponse:
    return PackageResponse.of(json_views.package_to_json(package))


def respond(package: Package, status: int = 200) -> Response:
    """Return the response with *package* and its ETag."""
    return Response(
        to_response(package).model_dump_json(),
        status,
        {"ETag": f'"{package.version}"'},
        content_type="application/json",
    )


def _change(package_id: str, changes: Any) -> Response:
    package = use(PackageService).change_package(
        get_caller(), package_id, changes, _read_versions("If-Match")
    )
    return respond(package)


def _require_same_number(body: PackageReplacement, package_id: str) -> None:
    package = use(PackageService).get_package(get_caller(), package_id)
    number = body.tracking_number and normalize(body.tracking_number)
    if number not in (None, package.number):
        raise invalid_field("#/tracking_number", "The tracking number cannot change.")
    if body.carrier not in (None, package.carrier):
        raise invalid_field("#/carrier", "The carrier cannot change.")


def _read_versions(header: str) -> list[int] | None:
    """Return the versions in *header*, or None if it is missing or `*`.

    An ETag that is none of this service matches no version.
    """
    text = request.headers.get(header)
    if text is None or text.strip() == "*":
        return None
    return [int(match[1]) for match in _ETAG.finditer(text)]


def _get_sort_key(package: Package, sort: Sort) -> tuple[str, str]:
    value = {
        "created_at": package.created_at,
        "updated_at": package.updated_at,
        "eta": package.eta and package.eta.p50,
        "promised_at": package.promised_at,
        "delivered_at": package.state.delivered_at,
    }[sort.name]
    # The sort is a part of the key: a cursor is valid for the same order only.
    return (f"{sort.name}{value.isoformat() if value else _NO_VALUE}", package.id)


def _read_cursor(query: PackageQuery, sort: Sort) -> Cursor | None:
    match query.decode_cursor():
        case None:
            return None
        case (str(key), str(package_id)) if key.startswith(sort.name):
            text = key[len(sort.name) :]
            if text == _NO_VALUE:
                return None, package_id
            return datetime.fromisoformat(text).astimezone(UTC), package_id
    raise invalid_field("#/cursor", "Use the next_cursor of the previous page with its sort.")
