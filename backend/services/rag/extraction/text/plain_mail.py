"""Plain text of e-mail: join flowed lines (RFC 3676), and detect plain text without content."""

import re

# Letters that have no visible shape: Hangul fillers, the blank Braille pattern, the grapheme
# joiner. Newsletters fill empty text with them.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_QUOTE_MARKS = re.compile(r">*")
_SIGNATURE_LINE = "-- "
# The beginning of a text is enough to compare it with another.
_COMPARED_CHARS = 20_000
_SHARED_PART = 0.5
_SEQUENCE_CHARS = 3
_NOT_WORD = re.compile(r"[\W_]+")


def is_blank(text: str) -> bool:
    """Return whether *text* has no visible character."""
    return not any(
        char.isprintable() and not char.isspace() and char not in _INVISIBLE for char in text
    )


def is_stub(plain: str, other: str) -> bool:
    """Return whether *plain* lacks most of the text of *other*.

    The texts are compared by sequences of letters, which every script has. Alternatives of one
    message share nearly all; unrelated texts of one language share about a fifth.
    """
    wanted = _to_sequences(other)
    return len(wanted & _to_sequences(plain)) < _SHARED_PART * len(wanted)


def join_flowed_lines(text: str, *, deletes_space: bool) -> str:
    """Return *text* with each flowed paragraph on one line (RFC 3676, section 4).

    Args:
        deletes_space: the space before a line break is not part of the text (DelSp=yes).
    """
    lines: list[str] = []
    paragraph: list[str] = []
    depth = 0

    def end_paragraph() -> None:
        if paragraph:
            lines.append(">" * depth + " " * bool(depth) + "".join(paragraph))
            paragraph.clear()

    for line in text.splitlines():
        quote = _QUOTE_MARKS.match(line)
        line_depth = quote.end() if quote else 0
        content = line[line_depth:].removeprefix(" ")  # space-stuffed
        if line_depth != depth or content == _SIGNATURE_LINE:
            end_paragraph()
            depth = line_depth
        is_flowed = content.endswith(" ") and content != _SIGNATURE_LINE
        paragraph.append(content[:-1] if is_flowed and deletes_space else content)
        if not is_flowed:
            end_paragraph()
    end_paragraph()
    return "\n".join(lines)


def _to_sequences(text: str) -> set[str]:
    letters = _NOT_WORD.sub("", text[:_COMPARED_CHARS].casefold())
    return {
        letters[start : start + _SEQUENCE_CHARS]
        for start in range(max(1, len(letters) - _SEQUENCE_CHARS + 1))
    }
