"""Messages of a conversation as the agent gets them: those before the ones to be answered."""

from collections.abc import Sequence
from typing import Final

from backend.chassis.database.sessions import Session
from backend.services.chat.clients.agent import AgentMessage
from backend.services.chat.domain.content_text import get_request_text
from backend.services.chat.model import SPEECH_SOURCE
from backend.services.chat.store import messages
from backend.services.chat.store.tables import Conversation, Message

MAX_FOLDED_MESSAGES: Final = 50
# A session of the agent that is gone is rebuilt from this number of messages.
HISTORY_MESSAGES: Final = 40


def load_history(
    session: Session,
    conversation: Conversation,
    folded: Sequence[Message],
    session_id: str | None,
) -> list[AgentMessage]:
    """Return the messages before *folded* that the agent's session does not contain yet.

    Args:
        folded: the messages to be answered, in their order; at least one.
        session_id: the agent's session, or None for a new one, which contains none.
    """
    after = 0 if session_id is None else int(conversation.details.get("agent_seq", 0))
    folded_ids = {row.id for row in folded}
    rows = messages.list_messages(
        session,
        conversation.id,
        HISTORY_MESSAGES + len(folded),
        before_seq=folded[-1].seq + 1,
        with_internal=False,
    )
    history = [
        AgentMessage(
            "user" if row.direction == "inbound" else "assistant",
            get_request_text(row.content),
        )
        for row in rows
        if row.seq > after
        and row.id not in folded_ids
        and row.deleted_at is None
        and row.source != SPEECH_SOURCE
    ]
    return [message for message in history if message.text.strip()][-HISTORY_MESSAGES:]
