"""Records the steps of conversations that statistics count."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Session
from backend.services.chat.store.daily_stats import (
    HANDED_OVER,
    RESOLVED,
    add_milestone,
    mark_days,
)
from backend.services.chat.store.tables import Conversation


def record_milestones(
    session: Session, conversation: Conversation, values: Mapping[str, Any], now: datetime
) -> None:
    """Record the milestones of a change of *conversation*, and mark the days that it affects.

    Call it before the columns are set, in the same transaction.

    Args:
        values: the new values of the changed columns.
    """
    status = values.get("status", conversation.status)
    if status != conversation.status and "resolved" in (status, conversation.status):
        # The day on which it was opened counts how many of its conversations are resolved.
        mark_days(session, conversation.tenant_id, {conversation.created_at.date(), now.date()})
        if status == "resolved":
            add_milestone(session, conversation, RESOLVED, now)
    if values.get("mode", conversation.mode) == "human" != conversation.mode:
        mark_days(session, conversation.tenant_id, {now.date()})
        add_milestone(session, conversation, HANDED_OVER, now)
