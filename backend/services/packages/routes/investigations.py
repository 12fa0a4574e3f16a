"""Investigations of packages and predictions of their arrival."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint, request
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.chassis.web.wait_slots import WaitSlots
from backend.security import Permission, require_permission, validate_query
from backend.services.packages.domain.investigations import InvestigationService
from backend.services.packages.domain.statements import translate_statement
from backend.services.packages.errors import PackageNotFound
from backend.services.packages.model import Investigation, InvestigationKind, Language, WorkState
from backend.services.packages.routes.packages import get_caller
from backend.services.packages.routes.schemas import WaitQuery

# The response and its status: 202 while a model writes the text.
Result = tuple["InvestigationResponse", int]
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
    """An investigation. `figures` depend on its kind; `text` states them and the findings.

    Statements and texts of templates are in English or German, as `Accept-Language` prefers. A
    model writes English.
    """

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
@validate_query(WaitQuery)
@responds_with(InvestigationResponse, other_statuses=(202,), errors=(PackageNotFound,))
def investigate_anomaly(query: WaitQuery, package_id: str) -> Result:
    """Find faults in the events of a package, slow steps and standstill."""
    return _investigate(query, package_id, InvestigationKind.ANOMALY)


@investigations.post("/agents/investigate/delay/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@validate_query(WaitQuery)
@responds_with(InvestigationResponse, other_statuses=(202,), errors=(PackageNotFound,))
def investigate_delay(query: WaitQuery, package_id: str) -> Result:
    """Explain the lateness of a package by its steps."""
    return _investigate(query, package_id, InvestigationKind.DELAY)


@investigations.post("/agents/predict/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@validate_query(WaitQuery)
@responds_with(InvestigationResponse, other_statuses=(202,), errors=(PackageNotFound,))
def predict_package(query: WaitQuery, package_id: str) -> Result:
    """Predict the arrival of a package, and its probability to be late."""
    return _investigate(query, package_id, InvestigationKind.PREDICTION)


@investigations.post("/agents/optimize/route/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@validate_query(WaitQuery)
@responds_with(InvestigationResponse, other_statuses=(202,), errors=(PackageNotFound,))
def optimize_route(query: WaitQuery, package_id: str) -> Result:
    """Compare the routes that a package can take to its destination."""
    return _investigate(query, package_id, InvestigationKind.ROUTE)


@investigations.get("/agents/investigations/<package_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with(InvestigationList, errors=(PackageNotFound,))
def list_investigations(package_id: str) -> InvestigationList:
    """List the latest 100 investigations of a package, newest first."""
    found = use(InvestigationService).list_investigations(get_caller(), package_id)
    language = _get_language()
    return InvestigationList(items=[_to_response(each, language) for each in found])


def _investigate(query: WaitQuery, package_id: str, kind: InvestigationKind) -> Result:
    service, caller = use(InvestigationService), get_caller()
    found = service.investigate(caller, package_id, kind)
    with use(WaitSlots).limit_wait(query.wait) as seconds:
        found = service.wait_for_text(caller, found, seconds)
    status = 202 if found.state == WorkState.RUNNING else 200
    return _to_response(found, _get_language()), status


def _get_language() -> Language:
    """Return the language that `Accept-Language` prefers; English if it names no known one."""
    preferred = request.accept_languages.best_match(("en", "de"), "en")
    return "de" if preferred == "de" else "en"


def _to_response(found: Investigation, language: Language) -> InvestigationResponse:
    return InvestigationResponse(
        id=found.id,
        package_id=found.package_id,
        kind=str(found.kind),
        state=str(found.state),
        findings=[
            FindingResponse(
                kind=each.kind,
                severity=str(each.severity),
                statement=translate_statement(each.statement, language),
                event_ids=each.event_ids,
                evidence=each.evidence,
            )
            for each in found.findings
        ],
        figures=found.figures,
        text=[
            SentenceResponse(
                text=translate_statement(each.statement, language), event_ids=each.event_ids
            )
            for each in found.text
        ],
        text_source=found.text_source,
        requested_by=found.requested_by,
        created_at=found.created_at,
        completed_at=found.completed_at,
    )
