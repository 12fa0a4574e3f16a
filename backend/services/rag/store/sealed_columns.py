"""The columns that encryption at rest covers."""

from collections.abc import Mapping
from typing import Any

from backend.chassis.data_encryption.columns import SealedColumns
from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.documents import PageRow
from backend.services.rag.store.keyword_index.postings import PostingsRow


def create_sealed_columns() -> tuple[SealedColumns, ...]:
    """Return the encrypted columns of all tables."""
    return (
        SealedColumns(PageRow, _identify_page, text=("text",), json=("headings", "lines")),
        SealedColumns(
            ChunkRow,
            lambda values: str(values["id"]),
            text=("section", "table_header", "text"),
            json=("headings",),
        ),
        SealedColumns(PostingsRow, _identify_postings, text=("long_words",)),
    )


def _identify_page(values: Mapping[str, Any]) -> str:
    # Without the generation: pages are copied to the next one as they are.
    return f"{values['document_id']}/{values['number']}"


def _identify_postings(values: Mapping[str, Any]) -> str:
    return f"{values['document_id']}/{values['generation']}"
