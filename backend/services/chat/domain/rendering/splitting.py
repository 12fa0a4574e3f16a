"""Cut a document into parts that fit a channel: at paragraphs, sentences, words, graphemes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from backend.services.chat.domain.rendering.dialects import Dialect
from backend.services.chat.domain.rendering.markdown import Run, TextBlock

# A word with the spaces after it. Ideographic full stops end a word without a space.
_STOPS: Final = "\u3002\uff01\uff1f"
_WORDS: Final = re.compile(rf"[^\s{_STOPS}]*[{_STOPS}]+\s*|[^\s{_STOPS}]+\s*|\s+")
_SENTENCE_MARKS: Final = ".!?\u2026:;"
_CLOSING_MARKS: Final = "\"'\u201d\u2019\u00bb)]"
# A grapheme of more characters is not written in any language.
_MAX_GRAPHEME: Final = 64
# A cut at the end of a sentence must leave at least this share of the limit in the part.
_MIN_FILL: Final = 0.4


@dataclass(frozen=True, slots=True)
class Parts:
    """The texts of the parts of a document, in order. *is_code_cut*: a code block was cut."""

    texts: tuple[str, ...]
    is_code_cut: bool = False
    is_truncated: bool = False


def split_blocks(
    blocks: Sequence[TextBlock], dialect: Dialect, limit: int, max_parts: int
) -> Parts:
    """Write *blocks* in *dialect* as at most *max_parts* texts of at most *limit* units each.

    A block is cut only if it does not fit into one part. A code block is cut only at the end of a
    line, or if a line alone is too long, and each of its pieces is a code block.
    """
    texts: list[str] = []
    current, previous, is_code_cut = "", None, False
    for block in blocks:
        pieces = _cut_block(block, dialect, limit)
        for index, piece in enumerate(pieces):
            is_code_cut |= index > 0 and block.kind == "code"
            text = dialect.write_block(piece)
            joined = current + _get_separator(previous, piece) + text if current else text
            if dialect.measure(joined) <= limit:
                current = joined
            else:
                texts.append(current)
                if len(texts) == max_parts:
                    return Parts(tuple(texts), is_code_cut, is_truncated=True)
                current = text
            previous = piece
    if current:
        texts.append(current)
    return Parts(tuple(texts), is_code_cut)


def cut_text(text: str, max_length: int) -> str:
    """Return *text* in at most *max_length* characters, cut between graphemes, with an ellipsis."""
    if len(text) <= max_length:
        return text
    kept = ""
    for grapheme in _list_graphemes(text[: max_length * 2 + _MAX_GRAPHEME]):
        if len(kept) + len(grapheme) > max_length - 1:
            break
        kept += grapheme
    return f"{kept.rstrip()}…"


def _get_separator(previous: TextBlock | None, block: TextBlock) -> str:
    is_close = previous is not None and block.follows_closely and previous.quotes == block.quotes
    return "\n" if is_close else "\n\n"


def _cut_block(block: TextBlock, dialect: Dialect, limit: int) -> Iterator[TextBlock]:
    """Yield *block*, or its pieces if it does not fit into *limit*."""
    if dialect.measure(dialect.write_block(block)) <= limit:
        yield block
        return
    # The marks around the block, and those of each of its lines in a quotation or a list.
    overhead = _measure_block(block, dialect, "x") - 1
    line_cost = _measure_block(block, dialect, "x\nx") - overhead - 3
    for index, runs in enumerate(_cut_runs(block, dialect, max(1, limit - overhead), line_cost)):
        yield replace(block, runs=runs, prefix=block.prefix if index == 0 else "")


def _measure_block(block: TextBlock, dialect: Dialect, text: str) -> int:
    return dialect.measure(dialect.write_block(replace(block, runs=(Run(text),))))


def _cut_runs(
    block: TextBlock, dialect: Dialect, room: int, line_cost: int
) -> Iterator[tuple[Run, ...]]:
    """Yield the runs of each piece. The cost of an atom is that of writing it alone."""
    is_code = block.kind == "code"
    piece = _Piece()
    for atom in _list_atoms(block, dialect, room, line_cost):
        while piece.atoms and piece.cost + atom.cost > room:
            yield piece.cut(room)
        piece.add(atom, ends_sentence=not is_code and _ends_sentence(atom.run.text))
    while piece.atoms:
        yield piece.cut(0)


def _ends_sentence(text: str) -> bool:
    """Return whether a sentence or a line ends with *text* and the spaces after it."""
    words = text.rstrip()
    if "\n" in text[len(words) :] or words.endswith(tuple(_STOPS)):
        return True
    has_space = len(words) < len(text)
    return has_space and words.rstrip(_CLOSING_MARKS).endswith(tuple(_SENTENCE_MARKS))


@dataclass(frozen=True, slots=True)
class _Atom:
    """Text that is not cut further, with the size that it needs at most."""

    run: Run
    cost: int


class _Piece:
    """Atoms that fit into one part, and where the last sentence among them ends."""

    def __init__(self) -> None:
        self.atoms: list[_Atom] = []
        self.cost = 0
        self._sentence_length = 0
        self._sentence_cost = 0

    def add(self, atom: _Atom, *, ends_sentence: bool) -> None:
        self.atoms.append(atom)
        self.cost += atom.cost
        if ends_sentence:
            self._sentence_length, self._sentence_cost = len(self.atoms), self.cost

    def cut(self, room: int) -> tuple[Run, ...]:
        """Remove and return the runs up to the last sentence's end, or all atoms.

        The end of a sentence is not used if it is near the start. With *room* 0, return all.
        """
        is_far_enough = 0 < room * _MIN_FILL <= self._sentence_cost
        length = self._sentence_length if is_far_enough else len(self.atoms)
        runs = tuple(atom.run for atom in self.atoms[:length])
        self.atoms = self.atoms[length:]
        self.cost = sum(atom.cost for atom in self.atoms)
        self._sentence_length = self._sentence_cost = 0
        return _join_runs(runs)


def _list_atoms(block: TextBlock, dialect: Dialect, room: int, line_cost: int) -> Iterator[_Atom]:
    is_code = block.kind == "code"

    def make_atom(run: Run) -> _Atom:
        written = dialect.write_code(run.text) if is_code else dialect.write_runs((run,))
        return _Atom(run, dialect.measure(written) + run.text.count("\n") * line_cost)

    for run in block.runs:
        for text in run.text.splitlines(keepends=True) if is_code else _WORDS.findall(run.text):
            atom = make_atom(replace(run, text=text))
            if atom.cost <= room:
                yield atom
                continue
            for grapheme in _cut_graphemes(text):
                # A link that is too long to be repeated with each letter becomes text.
                yield min(
                    (make_atom(replace(run, text=grapheme)), make_atom(Run(grapheme))),
                    key=lambda atom: atom.cost > room,
                )


def _cut_graphemes(text: str) -> Iterator[str]:
    for grapheme in _list_graphemes(text):
        for start in range(0, len(grapheme), _MAX_GRAPHEME):
            yield grapheme[start : start + _MAX_GRAPHEME]


def _join_runs(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Join adjacent runs with the same style, so that they are written with one pair of marks."""
    joined: list[Run] = []
    texts: list[str] = []
    for run in runs:
        if joined and (joined[-1].styles, joined[-1].url) == (run.styles, run.url):
            texts.append(run.text)
            continue
        if joined:
            joined[-1] = replace(joined[-1], text="".join(texts))
        joined.append(run)
        texts = [run.text]
    if joined:
        joined[-1] = replace(joined[-1], text="".join(texts))
    return tuple(joined)


def _list_graphemes(text: str) -> list[str]:
    # Few texts have words that are longer than a message.
    import regex

    graphemes: list[str] = regex.findall(r"\X", text)
    return graphemes
