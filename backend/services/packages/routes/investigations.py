"""Investigations of packages and predictions of their arrival."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission
from backend.services.packages.domain.investigations import InvestigationService
from backend.services.packages.errors import PackageNotFound
from backend.services.packages.model import Investigation, InvestigationKind
from backend.services.packages.routes.packages import get_caller

investigations = Blueprint("investigations", __name__)


class FindingResponse(BaseModel):
    """A statement about a package. `event_ids` are the events that show it.

    `evidence` has the figures: `value`, `expected`, `p95`, `samples`, `group`. Durations are in
    hours.
    """

    kind: str
    severity: str
    statement: str
    event_ids: Sequence[str]
    evidence: Mapping[str, Any]


class SentenceResponse(BaseModel):
    """A sentence of the text, and the events to which it refers."""

    text: str
    event_ids: Sequence[str]


class InvestigationResponse(BaseModel):
    """An investigation. `figures` depend on its kind; `text` states them and the findings."""

    id: str
    package_id: str
    kind: str
    state: str
    findings: Sequence[FindingResponse]
    figures: Mapping[str, Any]
    text: Sequence[SentenceResponse]
    text_source: str
    requested_by: str
    created_at: datetime
    completed_at: datetime | None


class InvestigationList(BaseModel):
    """The latest investigations of a package, newest first."""

    items: Sequence[InvestigationResponse]


@investigations.post("/agents/investigate/anomaly/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with(InvestigationResponse, errors=(PackageNotFound,))
def investigate_anomaly(package_id: str) -> InvestigationResponse:
    """Find faults in the events of a package, slow steps and standstill."""
    return _investigate(package_id, InvestigationKind.ANOMALY)


@investigations.post("/agents/investigate/delay/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with(InvestigationResponse, errors=(PackageNotFound,))
def investigate_delay(package_id: str) -> InvestigationResponse:
    """Explain the lateness of a package by its steps."""
    return _investigate(package_id, InvestigationKind.DELAY)


@investigations.post("/agents/predict/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with(InvestigationResponse, errors=(PackageNotFound,))
def predict_package(package_id: str) -> InvestigationResponse:
    """Predict the arrival of a package, and its probability to be late."""
    return _investigate(package_id, InvestigationKind.PREDICTION)


@investigations.post("/agents/optimize/route/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with(InvestigationResponse, errors=(PackageNotFound,))
def optimize_route(package_id: str) -> InvestigationResponse:
    """Compare the routes that a package can take to its destination."""
    return _investigate(package_id, InvestigationKind.ROUTE)


@investigations.get("/agents/investigations/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with(InvestigationList, errors=(PackageNotFound,))
def list_investigations(package_id: str) -> InvestigationList:
    """List the latest 100 investigations of a package, newest first."""
    found = use(InvestigationService).list_investigations(get_caller(), package_id)
    return InvestigationList(items=[_to_response(each) for each in found])


def _investigate(package_id: str, kind: InvestigationKind) -> InvestigationResponse:
    return _to_response(use(InvestigationService).investigate(get_caller(), package_id, kind))


def _to_response(found: Investigation) -> InvestigationResponse:
    return InvestigationResponse(
        id=found.id,
        package_id=found.package_id,
        kind=str(found.kind),
        state=str(found.state),
        findings=[FindingResponse(**each.to_json()) for each in found.findings],
        figures=found.figures,
        text=[SentenceResponse(text=each.text, event_ids=each.event_ids) for each in found.text],
        text_source=found.text_source,
        requested_by=found.requested_by,
        created_at=found.created_at,
        completed_at=found.completed_at,
    )
