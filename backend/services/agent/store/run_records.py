"""Queries on run records. The caller owns the transaction."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Table, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import KEY_COLUMN, seal_row
from backend.services.agent.store.tables import RunRecord

_RECORDS: Final[Table] = RunRecord.metadata.tables[RunRecord.__tablename__]
_IN_CONVERSATION: Final = _RECORDS.c.conversation_id == bindparam("conversation")
# Statements of every run are built once: building them takes longer than executing them.
_ADD_RECORD: Final = insert(_RECORDS)
_DELETE_OLD_RECORDS: Final = delete(_RECORDS).where(
    _IN_CONVERSATION,
    _RECORDS.c.run_id.not_in(
        select(_RECORDS.c.run_id)
        .where(_IN_CONVERSATION)
        .order_by(_RECORDS.c.created_at.desc(), _RECORDS.c.run_id.desc())
        .limit(bindparam("max_records"))
        .scalar_subquery()
    ),
)


def add_record(session: Session, values: Mapping[str, Any], max_records: int) -> None:
    """Store the columns *values* of a record.

    Deletes all but the latest *max_records* of its conversation.
    """
    row = seal_row(session, RunRecord, values["tenant_id"], {KEY_COLUMN: None, **values})
    session.execute(_ADD_RECORD, row)
    session.execute(
        _DELETE_OLD_RECORDS,
        {"conversation": values["conversation_id"], "max_records": max_records},
    )


def find_record(session: Session, run_id: str) -> RunRecord | None:
    """Return the record of a run, or None."""
    return session.get(RunRecord, run_id)
