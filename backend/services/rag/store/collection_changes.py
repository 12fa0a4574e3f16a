"""Numbered change log per collection, from which each process updates its in-memory indexes.

The number of the latest change is the version of the collection. It is incremented in the
transaction of the change, so a reader that sees a version also sees all changes up to it.
"""

from collections.abc import Sequence

from sqlalchemy import ForeignKey, String, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.services.rag.store.base import Base
from backend.services.rag.store.collections import CollectionRow

# A process that is further behind reloads the collection, which takes about as long.
MAX_STORED_CHANGES = 10_000
_PRUNE_EVERY = 1000


class CollectionChangeRow(Base):
    """A document was indexed, deleted, moved or edited in *version* of the collection."""

    __tablename__ = "collection_changes"

    collection_id: Mapped[str] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document_id: Mapped[str] = mapped_column(String(40))


def record_change(session: Session, collection_id: str, document_id: str) -> None:
    """Record a change of *document_id*.

    Locks the row of the collection until the end of the transaction.
    """
    version = session.scalar(
        update(CollectionRow)
        .where(CollectionRow.id == collection_id)
        .values(version=CollectionRow.version + 1)
        .returning(CollectionRow.version)
        .execution_options(synchronize_session=False)
    )
    if version is None:
        return  # this transaction deletes the collection
    session.execute(
        insert(CollectionChangeRow).values(
            collection_id=collection_id, version=version, document_id=document_id
        )
    )
    if version % _PRUNE_EVERY == 0:
        old = CollectionChangeRow.version <= version - MAX_STORED_CHANGES
        session.execute(
            delete(CollectionChangeRow).where(
                CollectionChangeRow.collection_id == collection_id, old
            )
        )


def get_version(session: Session, collection_id: str) -> int:
    """Return the version of the collection; 0 if it does not exist."""
    query = select(CollectionRow.version).where(CollectionRow.id == collection_id)
    return session.scalar(query) or 0


def list_changes_since(
    session: Session, collection_id: str, version: int
) -> Sequence[tuple[int, str]] | None:
    """Return (version, document id) of each change after *version*, oldest first.

    None if some of these changes were pruned.
    """
    query = (
        select(CollectionChangeRow.version, CollectionChangeRow.document_id)
        .where(
            CollectionChangeRow.collection_id == collection_id,
            CollectionChangeRow.version > version,
        )
        .order_by(CollectionChangeRow.version)
    )
    changes = [(row[0], row[1]) for row in session.execute(query)]
    is_complete = not changes or changes[0][0] == version + 1
    return changes if is_complete else None
