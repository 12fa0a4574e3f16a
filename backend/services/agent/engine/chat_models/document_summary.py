"""Map-reduce summary of a document by a small model.

The parts of the document are summarized one after the other, then the notes about them. How much of
a long document is read follows from the measured speed: of a longer one, the first sentences of
each paragraph.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from langchain_core.messages import BaseMessage

from backend.ai.text.sentences import split_sentences
from backend.ai.text.token_estimates import estimate_tokens
from backend.services.agent.engine.chat_models.compact_prompts import build_part_prompt
from backend.services.agent.model import Chunk, RunProgress

# A document of this size is summarized at once, a longer one in parts: notes about the parts cost
# more time than they save, because a token is written as slowly as four are read.
MAX_SINGLE_TOKENS: Final = 1_600
MAX_PART_TOKENS: Final = 700
_READING_SECONDS: Final = 40.0
_MIN_READING_TOKENS: Final = MAX_SINGLE_TOKENS
_MAX_READING_TOKENS: Final = 6_000
# Stages of the progress: summarized parts, and the tokens that are read of a single text.
PARTS_STAGE: Final = "parts"
READING_STAGE: Final = "reading"
# Key of a message's additional_kwargs: a list with the fields of one RunProgress.
PROGRESS_KEY: Final = "progress"

# Calls the model with a prompt and returns the text of its response.
CallModel = Callable[[list[BaseMessage]], Awaitable[str]]


def join_chunks(chunks: Sequence[Chunk]) -> str:
    """Return the text of the document, of which *chunks* are parts that may overlap."""
    texts: list[str] = []
    position = 0
    for chunk in sorted(chunks, key=lambda chunk: chunk.start):
        text = chunk.text[max(position - chunk.start, 0) :].strip()
        position = max(position, chunk.start + len(chunk.text))
        if text:
            texts.append(text)
    return "\n\n".join(texts)


def compute_reading_tokens(prompt_speed: float) -> int:
    """Return how many tokens of a document are read at *prompt_speed* tokens per second."""
    tokens = int(_READING_SECONDS * prompt_speed)
    return min(max(tokens, _MIN_READING_TOKENS), _MAX_READING_TOKENS)


def split_into_parts(text: str, max_tokens: int) -> list[str]:
    """Return *text*, or parts of about equal size with at most MAX_PART_TOKENS tokens.

    If it has more than *max_tokens* tokens, they contain the first sentences of each paragraph.
    """
    if estimate_tokens(text) <= MAX_SINGLE_TOKENS:
        return [text]
    pieces = _shorten_paragraphs(text.split("\n\n"), max_tokens)
    total = sum(map(estimate_tokens, pieces))
    if total <= MAX_SINGLE_TOKENS:
        return ["\n\n".join(pieces)]
    target = total / max(-(-total // MAX_PART_TOKENS), 1)
    parts: list[list[str]] = [[]]
    size = 0
    for piece in pieces:
        tokens = estimate_tokens(piece)
        # A piece belongs to the part that contains its middle.
        if parts[-1] and (size + tokens / 2 > target or size + tokens > MAX_PART_TOKENS):
            parts.append([])
            size = 0
        parts[-1].append(piece)
        size += tokens
    return ["\n\n".join(part) for part in parts if part]


async def summarize_parts(
    parts: Sequence[str], request: str, call_model: CallModel
) -> AsyncIterator[RunProgress | str]:
    """Yield the progress after each part, and at the end the notes about all parts."""
    notes: list[str] = []
    total = len(parts) + 1
    for number, part in enumerate(parts, 1):
        yield RunProgress(PARTS_STAGE, number - 1, total)
        notes.append(" ".join((await call_model(build_part_prompt(part, request))).split()))
    yield RunProgress(PARTS_STAGE, len(parts), total)
    yield "\n".join(f"- {note}" for note in notes if note)


def _shorten_paragraphs(paragraphs: Sequence[str], max_tokens: int) -> list[str]:
    """Return the sentences of *paragraphs* in pieces, without the last ones if there are too many.

    No piece is larger than a part.
    """
    sentences = [[s.text for s in split_sentences(text)] for text in paragraphs]
    sizes = [[estimate_tokens(text) for text in texts] for texts in sentences]
    total = sum(map(sum, sizes))
    share = min(1.0, max_tokens / total) if total else 1.0
    pieces: list[str] = []
    owed = float(sizes[0][0]) if sizes and sizes[0] else 0.0
    for texts, tokens in zip(sentences, sizes, strict=True):
        owed += share * sum(tokens)
        kept: list[str] = []
        kept_size = 0
        for text, size in zip(texts, tokens, strict=True):
            if share < 1 and size > owed:
                break
            if kept and kept_size + size > MAX_PART_TOKENS:
                pieces.append(" ".join(kept))
                kept, kept_size = [], 0
            owed -= size
            kept.append(text)
            kept_size += size
        if kept:
            pieces.append(" ".join(kept))
    return pieces
