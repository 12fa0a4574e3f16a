"""Which embedding models there are, and how far each has come with which document."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Select,
    String,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.rag.store.base import Base, new_id, utc_now
from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.documents import DocumentRow

# One model serves. One may be building: what it lacks is embedded in the background, and then
# it serves. The one before it is leaving until nobody can be using it any more, then dropped.
State = Literal["serving", "building", "leaving", "dropping"]

_Row = TypeVar("_Row", bound=tuple[Any, ...])


class ModelRow(Base):
    __tablename__ = "embedding_models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("emb"))
    name: Mapped[str] = mapped_column(String(300))
    address: Mapped[str | None] = mapped_column(String(1000))
    # Ends the names of its partitions. Those from before there was a choice end in nothing.
    suffix: Mapped[str] = mapped_column(String(16))
    # The kind of store that holds them. Another kind begins with nothing.
    store: Mapped[str] = mapped_column(String(16))
    state: Mapped[State] = mapped_column(String(16))
    since: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    # Until then somebody embeds what it lacks; others let them.
    worked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EmbeddingRow(Base):
    """The first *chunks* passages of a document's generation are in a model's partition."""

    __tablename__ = "embeddings"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    generation: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(
        ForeignKey("embedding_models.id", ondelete="CASCADE"), primary_key=True
    )
    chunks: Mapped[int]


class Lacking(NamedTuple):
    """A document that a model does not know whole."""

    document_id: str
    tenant_id: str
    collection_id: str
    generation: int
    chunks: int


def models(session: Session, *states: State) -> Sequence[ModelRow]:
    query = select(ModelRow).where(ModelRow.state.in_(states)).order_by(ModelRow.since, ModelRow.id)
    return session.scalars(query).all()


def take_work(session: Session, model_id: str, seconds: float) -> bool:
    """Whether nobody else embeds for the model; from now on, for *seconds*, the caller does."""
    now = utc_now()
    statement = (
        update(ModelRow)
        .where(
            ModelRow.id == model_id,
            or_(ModelRow.worked_until.is_(None), ModelRow.worked_until < now),
        )
        .values(worked_until=now + timedelta(seconds=seconds))
    )
    result: CursorResult[tuple[()]] = session.execute(statement)  # type: ignore[assignment]
    return result.rowcount == 1


def leave_work(session: Session, model_id: str) -> None:
    session.execute(update(ModelRow).where(ModelRow.id == model_id).values(worked_until=None))


def embedded(session: Session, model_id: str, document_id: str, generation: int) -> int:
    """How many of the generation's passages the model has, counted from the first."""
    row = session.get(EmbeddingRow, (document_id, generation, model_id))
    return 0 if row is None else row.chunks


def note(session: Session, model_id: str, document_id: str, generation: int, chunks: int) -> bool:
    """Write down that the first *chunks* are there; False where the document is gone."""
    if session.get(DocumentRow, document_id) is None or session.get(ModelRow, model_id) is None:
        return False
    session.merge(
        EmbeddingRow(
            document_id=document_id, generation=generation, model_id=model_id, chunks=chunks
        )
    )
    return True


def forget(session: Session, document_id: str, but_generation: int) -> None:
    session.execute(
        delete(EmbeddingRow).where(
            EmbeddingRow.document_id == document_id, EmbeddingRow.generation != but_generation
        )
    )


def forget_all(session: Session, model_id: str) -> None:
    session.execute(delete(EmbeddingRow).where(EmbeddingRow.model_id == model_id))


def begin_anew(session: Session, model_id: str, document_id: str) -> None:
    """Let the model embed the document again."""
    session.execute(
        delete(EmbeddingRow).where(
            EmbeddingRow.model_id == model_id, EmbeddingRow.document_id == document_id
        )
    )


def remove(session: Session, model_id: str) -> None:
    session.execute(delete(ModelRow).where(ModelRow.id == model_id))


def lacking(session: Session, model_id: str, limit: int) -> list[Lacking]:
    """Documents that are shown and that the model does not know whole, the oldest first."""
    query = _shown(
        model_id,
        select(
            DocumentRow.id,
            DocumentRow.tenant_id,
            DocumentRow.collection_id,
            DocumentRow.generation,
            DocumentRow.chunks,
        ),
    )
    query = query.where(_incomplete()).order_by(DocumentRow.id).limit(limit)
    return [Lacking(*row) for row in session.execute(query)]


def progress(session: Session, model_id: str) -> tuple[int, int, int, int]:
    """Documents and passages that the model knows, and how many there are of both."""
    whole = func.count().filter(~_incomplete())
    query = _shown(
        model_id,
        select(
            whole,
            func.count(),
            func.coalesce(func.sum(func.coalesce(EmbeddingRow.chunks, 0)), 0),
            func.coalesce(func.sum(DocumentRow.chunks), 0),
        ),
    )
    known, documents, passages, all_passages = session.execute(query).one()
    return int(known), int(documents), int(passages), int(all_passages)


def passages(
    session: Session, document_id: str, generation: int, after: int, limit: int
) -> tuple[str, Sequence[ChunkRow]]:
    """The document's title, and its passages from the one numbered *after* on."""
    title = session.scalar(select(DocumentRow.title).where(DocumentRow.id == document_id))
    rows = session.scalars(
        select(ChunkRow)
        .where(
            ChunkRow.document_id == document_id,
            ChunkRow.generation == generation,
            ChunkRow.ordinal >= after,
        )
        .order_by(ChunkRow.ordinal)
        .limit(limit)
    ).all()
    return title or "", rows


def _shown(model_id: str, query: Select[_Row]) -> Select[_Row]:
    """*query* over the documents that have passages to show, beside what the model has of them."""
    return (
        query.select_from(DocumentRow)
        .outerjoin(
            EmbeddingRow,
            and_(
                EmbeddingRow.document_id == DocumentRow.id,
                EmbeddingRow.generation == DocumentRow.generation,
                EmbeddingRow.model_id == model_id,
            ),
        )
        .where(DocumentRow.generation > 0)
    )


def _incomplete() -> ColumnElement[bool]:
    return func.coalesce(EmbeddingRow.chunks, 0) < DocumentRow.chunks
