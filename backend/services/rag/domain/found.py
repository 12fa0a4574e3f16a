"""A passage as a search finds it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A passage, where it stands, and how well it fits; scores compare within one search."""

    chunk_id: str
    document_id: str
    generation: int
    filename: str
    title: str
    section: str
    page: int | None
    start: int
    end: int
    text: str
    score: float
