"""The columns that encryption at rest covers."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import SealedColumns, SearchWords, open_row
from backend.chassis.encryption import DamagedValue
from backend.services.chat.store.tables import Conversation, Delivery, Message, Revision

# Stands for the content of a message that was changed outside of the service.
DAMAGED_CONTENT: Final = {
    "type": "unsupported",
    "what": "damaged message",
    "error": "decryption_failed",
}


def open_content(
    session: Session, message_id: str, content: Any, data_key_id: str | None
) -> Mapping[str, Any]:
    """Return the content of a message in clear, or DAMAGED_CONTENT."""
    row = {"id": message_id, "content": content, "data_key_id": data_key_id}
    try:
        opened: Mapping[str, Any] = open_row(session, Message, row)["content"]
    except DamagedValue:
        return DAMAGED_CONTENT
    return opened


def create_sealed_columns(words: SearchWords) -> tuple[SealedColumns, ...]:
    """Return the encrypted columns of all tables. *words* makes the search words of a message."""
    return (
        SealedColumns(Conversation, _get_id, text=("title",), placeholders={"title": ""}),
        SealedColumns(
            Message,
            _get_id,
            json=("content", "citations", "steps"),
            words=words,
            placeholders={"content": DAMAGED_CONTENT, "citations": [], "steps": []},
        ),
        SealedColumns(
            Revision,
            _identify_revision,
            json=("content",),
            placeholders={"content": DAMAGED_CONTENT},
        ),
        # A delivery without content fails with the reason `invalid_payload`.
        SealedColumns(Delivery, _get_id, json=("payload",), placeholders={"payload": {}}),
    )


def _get_id(values: Mapping[str, Any]) -> str:
    return str(values["id"])


def _identify_revision(values: Mapping[str, Any]) -> str:
    # Its number is not known before it is stored.
    return f"{values['message_id']}@{values['replaced_at'].astimezone(UTC).isoformat()}"
