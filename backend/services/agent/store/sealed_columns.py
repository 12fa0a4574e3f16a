"""The columns that encryption at rest covers."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import SealedColumns
from backend.chassis.database.sessions import get_session_tenant
from backend.services.agent.store.tables import (
    Conversation,
    EvaluationAnswer,
    Feedback,
    Message,
    Persona,
    RunRecord,
)

# Evaluations belong to the operator: their data key has this name instead of a tenant's id.
OPERATOR: Final = "operator"
# Stands for a text that was changed outside of the service.
DAMAGED_TEXT: Final = "This text is damaged and cannot be decrypted."


def create_sealed_columns() -> tuple[SealedColumns, ...]:
    """Return the encrypted columns of all tables.

    A damaged run record has no placeholder: a request for it returns the error `data_damaged`.
    """
    return (
        SealedColumns(
            Conversation,
            _get_id,
            text=("title",),
            json=("paused",),
            placeholders={"title": DAMAGED_TEXT, "paused": None},
        ),
        SealedColumns(
            Message,
            _get_id,
            text=("text", "summary"),
            json=("citations", "steps"),
            placeholders={
                "text": DAMAGED_TEXT,
                "summary": DAMAGED_TEXT,
                "citations": [],
                "steps": [],
            },
            get_tenant=_get_tenant_of_message,
        ),
        SealedColumns(Feedback, _get_id, text=("text",), placeholders={"text": DAMAGED_TEXT}),
        SealedColumns(
            Persona,
            _get_id,
            text=("description", "system_prompt"),
            placeholders={"description": DAMAGED_TEXT, "system_prompt": DAMAGED_TEXT},
        ),
        SealedColumns(
            RunRecord,
            lambda values: str(values["run_id"]),
            json=("inputs", "outcome", "nodes"),
        ),
        SealedColumns(
            EvaluationAnswer,
            _identify_evaluation_answer,
            text=("question", "expected", "answer"),
            json=("metric_errors",),
            placeholders={
                "question": DAMAGED_TEXT,
                "expected": DAMAGED_TEXT,
                "answer": DAMAGED_TEXT,
                "metric_errors": None,
            },
            get_tenant=lambda *_: OPERATOR,
        ),
    )


def _get_id(values: Mapping[str, Any]) -> str:
    return str(values["id"])


def _get_tenant_of_message(session: Session, _: Message) -> str:
    # Messages have no tenant of their own, and only sessions of their tenant write them.
    return get_session_tenant(session)


def _identify_evaluation_answer(values: Mapping[str, Any]) -> str:
    return f"{values['evaluation_id']}/{values['question_number']}/{values['variant_number']}"
