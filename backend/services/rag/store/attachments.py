"""Attachments of messages.

The document of an attachment that was read is the one in the message's collection with the same
digest. There is at most one: several messages with the same attachment share it.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, ForeignKey, String, and_, delete, select
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from backend.services.rag.store.base import Base
from backend.services.rag.store.documents import DocumentRow


class AttachmentRow(Base):
    __tablename__ = "attachments"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    # Position in the message, from 1.
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    filename: Mapped[str] = mapped_column(String(255))
    # Type detected from the content if the attachment became a document, else as declared by the
    # sender.
    content_type: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    # None if the attachment was not read. `error_code` and `error_detail` then give the reason.
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None] = mapped_column(String(500))


# Create the aliases once: each one copies all columns, and a statement with new aliases is compiled
# again.
_MESSAGE, _ATTACHED = aliased(DocumentRow), aliased(DocumentRow)
_IS_ATTACHED = and_(
    _ATTACHED.collection_id == _MESSAGE.collection_id, _ATTACHED.sha256 == AttachmentRow.sha256
)


class ListedAttachment(NamedTuple):
    """An attachment and the id of its document, or None if there is none."""

    row: AttachmentRow
    attached_id: str | None


def list_attachments(session: Session, message_ids: Collection[str]) -> list[ListedAttachment]:
    """Return the attachments of the messages, ordered by message and position."""
    query = (
        select(AttachmentRow, _ATTACHED.id)
        .join(_MESSAGE, _MESSAGE.id == AttachmentRow.document_id)
        .outerjoin(_ATTACHED, _IS_ATTACHED)
        .where(AttachmentRow.document_id.in_(message_ids))
        .order_by(AttachmentRow.document_id, AttachmentRow.number)
    )
    return [ListedAttachment(row, key) for row, key in session.execute(query)]


def replace_attachments(session: Session, message_id: str, rows: Sequence[AttachmentRow]) -> None:
    """Store *rows* as the attachments of the message instead of the previous ones."""
    session.execute(delete(AttachmentRow).where(AttachmentRow.document_id == message_id))
    session.add_all(rows)
    session.flush()


def list_attached_documents(session: Session, message_id: str) -> Sequence[DocumentRow]:
    """Return the documents that were created for attachments of the message."""
    query = select(DocumentRow).where(DocumentRow.attachment_of == message_id)
    return session.scalars(query.order_by(DocumentRow.id)).all()


def find_other_message(session: Session, attached: DocumentRow) -> DocumentRow | None:
    """Return another message of the collection with the same attachment, or None."""
    query = (
        select(DocumentRow)
        .join(AttachmentRow, AttachmentRow.document_id == DocumentRow.id)
        .where(
            AttachmentRow.sha256 == attached.sha256,
            DocumentRow.collection_id == attached.collection_id,
            DocumentRow.id != attached.attachment_of,
        )
    )
    return session.scalars(query.order_by(DocumentRow.id).limit(1)).first()


def find_document_by_hash(
    session: Session, collection_id: str, sha256: str | None
) -> DocumentRow | None:
    """Return the document of the collection with this digest, if there is one."""
    query = select(DocumentRow).where(
        DocumentRow.collection_id == collection_id, DocumentRow.sha256 == sha256
    )
    return session.scalar(query)
