"""What changed in a collection, in order, so that every process can catch up by what it lacks.

The number of a collection's latest change is its version. It is counted up in the transaction
that makes the change, so whoever sees a version sees all that led to it.
"""

from collections.abc import Sequence

from sqlalchemy import ForeignKey, String, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.services.rag.store.base import Base
from backend.services.rag.store.collections import CollectionRow

# Who is further behind reads the collection anew, which takes about as long.
KEPT = 10_000
_PRUNE_EVERY = 1000


class ChangeRow(Base):
    """The document is shown, gone, moved, or described otherwise, since *version*."""

    __tablename__ = "collection_changes"

    collection_id: Mapped[str] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document_id: Mapped[str] = mapped_column(String(40))


def note(session: Session, collection_id: str, document_id: str) -> None:
    """Write down that *document_id* changed. Of one collection at a time: its row is locked."""
    version = session.scalar(
        update(CollectionRow)
        .where(CollectionRow.id == collection_id)
        .values(version=CollectionRow.version + 1)
        .returning(CollectionRow.version)
        .execution_options(synchronize_session=False)
    )
    if version is None:
        return  # the collection is deleted in this very transaction
    session.execute(
        insert(ChangeRow).values(
            collection_id=collection_id, version=version, document_id=document_id
        )
    )
    if version % _PRUNE_EVERY == 0:
        old = ChangeRow.version <= version - KEPT
        session.execute(delete(ChangeRow).where(ChangeRow.collection_id == collection_id, old))


def version_of(session: Session, collection_id: str) -> int:
    found = session.scalar(select(CollectionRow.version).where(CollectionRow.id == collection_id))
    return found or 0


def since(session: Session, collection_id: str, version: int) -> Sequence[tuple[int, str]] | None:
    """Each change after *version*, or None where they are no longer all known."""
    query = (
        select(ChangeRow.version, ChangeRow.document_id)
        .where(ChangeRow.collection_id == collection_id, ChangeRow.version > version)
        .order_by(ChangeRow.version)
    )
    changes = [(row[0], row[1]) for row in session.execute(query)]
    complete = not changes or changes[0][0] == version + 1
    return changes if complete else None
