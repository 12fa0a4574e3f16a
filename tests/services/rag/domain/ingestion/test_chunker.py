"""Long texts are split in a process with limits; the result is that of splitting them at once."""

import sys

import pytest

from backend.ai.embedding.tokenizers_by_language import TokenizersByLanguage
from backend.services.rag.domain.ingestion.chunker import Chunker, ChunkingFailed
from backend.services.rag.domain.ingestion.chunking import Section, split_into_chunks
from backend.services.rag.errors import ExtractionFailed

TOKENIZERS = TokenizersByLanguage()
MIB = 2**20


def split(text, sections=(), language="en", *, max_memory_bytes=1536 * MIB, timeout_seconds=60):
    chunker = Chunker(
        TOKENIZERS, max_memory_bytes=max_memory_bytes, timeout_seconds=timeout_seconds
    )
    return chunker.split("doc_1", text, sections, language)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "ar"])
def test_long_text_has_the_chunks_of_splitting_it_at_once(language):
    lines = [f"Row {n}\tKöln {n * 7}\r\n東京 {n}. It is the end. " for n in range(8000)]
    text = "".join(lines)
    sections = [Section(position, f"Part {position}") for position in range(0, len(text), 50_000)]

    find_token_spans = TOKENIZERS.get_token_span_finder(language)
    assert split(text, sections, language) == split_into_chunks(text, find_token_spans, sections)


def test_chunks_of_arabic_are_as_long_as_those_of_english():
    sentence = "يبلغ طول المدرج ألفاً وثمانمائة وخمسين متراً وقد بُني قبل خمسين عاماً. "

    chunks = split(sentence * 40, language="ar")

    assert len(chunks) * 3 < len(split(sentence * 40, language="en")) * 2
    assert all(chunk.end - chunk.start > 400 for chunk in chunks[:-1])


@pytest.mark.parametrize("limits", [{"max_memory_bytes": 64 * MIB}, {"timeout_seconds": 1}])
def test_text_beyond_the_limits_is_too_complex(limits):
    with pytest.raises(ExtractionFailed) as failure:
        split("1," * 3_000_000, **limits)

    assert failure.value.code == "too_complex"


def test_stopped_chunker_splits_no_long_text():
    chunker = Chunker(TOKENIZERS, max_memory_bytes=1536 * MIB, timeout_seconds=60)
    chunker.stop()

    with pytest.raises(ExtractionFailed):
        chunker.split("doc_1", "word " * 100_000, [], "en")


def test_failing_process_is_not_reported_as_a_complex_text(monkeypatch):
    chunker = Chunker(TOKENIZERS, max_memory_bytes=1536 * MIB, timeout_seconds=60)
    monkeypatch.setattr(chunker, "_command", lambda _: [sys.executable, "-c", "import missing"])

    with pytest.raises(ChunkingFailed, match="exit status 1"):
        chunker.split("doc_1", "word " * 100_000, [], "en")


@pytest.mark.parametrize(
    ("unit", "max_characters"),
    [
        ("1,", 5_000),
        ("&", 5_000),
        ("a", 5_000),
        ("words without an end ", 5_000),
        # Runs without a token are cut by their length only.
        ("\u200d", 60_000),
        ("\u0301\u0316", 60_000),
    ],
)
def test_chunks_of_a_text_without_sentences_are_short(unit, max_characters):
    text = unit * (100_000 // len(unit))

    chunks = split(text)

    assert max(chunk.end - chunk.start for chunk in chunks) <= max_characters
    assert chunks[-1].end == len(text.rstrip())
