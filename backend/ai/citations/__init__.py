"""Cite sources for an answer: find its sentences in the document chunks it is based on."""

from backend.ai.citations.citation_finder import CitableChunk, Citation, CitationFinder
from backend.ai.citations.citation_inserter import CitationInserter

__all__ = ["CitableChunk", "Citation", "CitationFinder", "CitationInserter"]
