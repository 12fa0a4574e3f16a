"""Tracking events as EPCIS 2.0 documents in JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response
from pydantic import BaseModel, RootModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.problems import ServiceError
from backend.security import Permission, invalid_field, require_permission, validate_input
from backend.services.packages.domain import epcis
from backend.services.packages.domain.event_recording import (
    EventService,
    PackageReport,
    ReportFailed,
)
from backend.services.packages.domain.packages import PackageService
from backend.services.packages.errors import (
    CarrierUnknown,
    InvalidEvents,
    PackageNotFound,
    QuotaExceeded,
    TooManyEvents,
)
from backend.services.packages.routes.packages import get_caller

bp = Blueprint("epcis", __name__)
_MEDIA_TYPE = "application/ld+json"


class EpcisDocument(RootModel[dict[str, Any]]):
    """An EPCIS 2.0 document in JSON, or a single event. Unknown fields are ignored."""

    root: dict[str, Any]


class EpcisResult(BaseModel):
    """Numbers of events that were added and repeated, and the ids of the packages."""

    added: int
    duplicates: int
    created: int
    package_ids: Sequence[str]


@bp.post("/packages/epcis")
@require_permission(Permission.PACKAGES_WRITE)
@validate_input(EpcisDocument)
@idempotent
@responds_with(EpcisResult, errors=(CarrierUnknown, InvalidEvents, QuotaExceeded, TooManyEvents))
@request_example(
    {
        "@context": [epcis.CONTEXT],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-01-31T12:00:00Z",
        "epcisBody": {
            "eventList": [
                {
                    "type": "ObjectEvent",
                    "eventID": "urn:uuid:0b5a4b3e-6d0f-4c0a-9a36-9a3e0b7f5c11",
                    "action": "OBSERVE",
                    "bizStep": "departing",
                    "eventTime": "2026-01-31T12:00:00+01:00",
                    "eventTimeZoneOffset": "+01:00",
                    "epcList": ["urn:ai-agent-system:packages:ups:1Z5R89390357567127"],
                }
            ]
        },
    }
)
def record_document(body: EpcisDocument) -> EpcisResult:
    """Record the events of an EPCIS document. Packages that do not exist are created.

    The steps commissioning, collecting, accepting, shipping, departing, arriving, receiving,
    holding and destroying are known, as words or as URIs of the CBV; others are stored as notes. A
    package is an SSCC, or a URI that ends in the tracking number. An event with a parent is
    recorded for it, and for the children that have an SSCC or a URI of this service. A new package
    with an SSCC of no known carrier has the carrier `sscc`. All events are recorded, or none.
    """
    try:
        reports = epcis.read_document(body.root)
    except epcis.InvalidDocument as error:
        raise invalid_field(error.pointer, str(error)) from error
    given = [
        PackageReport(
            each.number,
            each.carrier,
            events=(each.event,),
            default_carrier=each.default_carrier,
        )
        for each in reports
    ]
    try:
        recorded = use(EventService).record_all(get_caller(), given, "epcis")
    except ReportFailed as failure:
        raise _point_to(reports[failure.index], failure.error) from failure
    return EpcisResult(
        added=sum(result.added for result, _ in recorded),
        duplicates=sum(result.duplicates for result, _ in recorded),
        created=sum(created for _, created in recorded),
        package_ids=list(dict.fromkeys(result.package.id for result, _ in recorded)),
    )


@bp.get("/packages/<package_id>/epcis")
@require_permission(Permission.PACKAGES_READ)
@responds_with_stream(_MEDIA_TYPE, errors=(PackageNotFound,))
def get_document(package_id: str) -> Response:
    """Get the events of a package as an EPCIS document."""
    caller = get_caller()
    package = use(PackageService).get_package(caller, package_id)
    events = use(EventService).list_events(caller, package_id)
    document = epcis.build_document(package, events, datetime.now(UTC))
    return Response(json.dumps(document), content_type=_MEDIA_TYPE)


def _point_to(report: epcis.EpcisReport, error: ServiceError) -> ServiceError:
    if isinstance(error, InvalidEvents):
        details = [each["detail"] for each in error.errors() or ()]
        return InvalidEvents(
            [{"pointer": f"{report.pointer}/eventTime", "detail": detail} for detail in details]
        )
    if isinstance(error, CarrierUnknown):
        return CarrierUnknown(error.candidates, report.epc_pointer, epcis.CARRIER_ADVICE)
    return error
