"""Queries on investigations. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.services.packages.model import (
    Finding,
    Investigation,
    InvestigationKind,
    Sentence,
    Severity,
    Statement,
    WorkState,
)
from backend.services.packages.store.tables import InvestigationRow


def add_investigation(session: Session, tenant_id: str, found: Investigation) -> None:
    session.add(
        InvestigationRow(
            id=found.id,
            tenant_id=tenant_id,
            package_id=found.package_id,
            kind=str(found.kind),
            state=str(found.state),
            findings=[_finding_to_json(finding) for finding in found.findings],
            figures=dict(found.figures),
            text=_text_to_json(found.text),
            text_source=found.text_source,
            requested_by=found.requested_by,
            created_at=found.created_at,
            completed_at=found.completed_at,
        )
    )


def get_investigation(
    session: Session, tenant_id: str, investigation_id: str
) -> Investigation | None:
    query = select(InvestigationRow).where(
        InvestigationRow.id == investigation_id, InvestigationRow.tenant_id == tenant_id
    )
    row = session.scalar(query)
    return None if row is None else _to_investigation(row)


def complete_text(
    session: Session,
    investigation_id: str,
    text: Sequence[Sentence],
    text_source: str,
    now: datetime,
) -> None:
    """Store the final text of an investigation."""
    session.execute(
        update(InvestigationRow)
        .where(InvestigationRow.id == investigation_id)
        .values(
            text=_text_to_json(text),
            text_source=text_source,
            state=str(WorkState.DONE),
            completed_at=now,
        )
        .execution_options(synchronize_session=False)
    )


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": str(finding.severity),
        "statement": finding.statement.text,
        "event_ids": list(finding.event_ids),
        "evidence": dict(finding.evidence),
        **_template_to_json(finding.statement),
    }


def _text_to_json(text: Sequence[Sentence]) -> list[dict[str, Any]]:
    return [
        {
            "text": sentence.statement.text,
            "event_ids": list(sentence.event_ids),
            **_template_to_json(sentence.statement),
        }
        for sentence in text
    ]


def _template_to_json(statement: Statement) -> dict[str, Any]:
    return {"template": statement.template, "values": dict(statement.values)}


def _parse_statement(text: str, stored: Mapping[str, Any]) -> Statement:
    # Earlier versions stored the text only.
    return Statement(text, stored.get("template", ""), stored.get("values", {}))


def list_investigations(
    session: Session, tenant_id: str, package_id: str, limit: int
) -> Sequence[Investigation]:
    """Return the *limit* latest investigations of a package, newest first."""
    query = (
        select(InvestigationRow)
        .where(InvestigationRow.tenant_id == tenant_id, InvestigationRow.package_id == package_id)
        .order_by(InvestigationRow.created_at.desc(), InvestigationRow.id.desc())
        .limit(limit)
    )
    return [_to_investigation(row) for row in session.scalars(query)]


def _to_investigation(row: InvestigationRow) -> Investigation:
    return Investigation(
        id=row.id,
        package_id=row.package_id,
        kind=InvestigationKind(row.kind),
        state=WorkState(row.state),
        findings=tuple(
            Finding(
                each["kind"],
                Severity(each["severity"]),
                _parse_statement(each["statement"], each),
                tuple(each["event_ids"]),
                each["evidence"],
            )
            for each in row.findings
        ),
        figures=row.figures,
        text=tuple(
            Sentence(_parse_statement(each["text"], each), tuple(each["event_ids"]))
            for each in row.text
        ),
        text_source=row.text_source,
        requested_by=row.requested_by,
        created_at=row.created_at,
        completed_at=row.completed_at,
        error=row.error,
    )
