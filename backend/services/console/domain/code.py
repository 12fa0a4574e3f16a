"""Split source code into tokens with Pygments, for syntax highlighting in the browser."""

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.token import _TokenType

Token = tuple[str, str]
"""(Pygments' short name of the token type, text); the name of plain text is empty."""

_CACHED_BLOCKS = 64
# Many lexers need quadratic time for hostile text: up to 2 s for 10,000 characters.
_MAX_HIGHLIGHTED_CHARACTERS = 20_000
_MAX_WAIT_SECONDS = 2.0
# One lexer at a time, so that hostile text does not take all threads of the service.
_lexer_lock = threading.Lock()


def tokenize_code(language: str, text: str) -> list[Token]:
    """Return the tokens of *text*, which joined are *text* again with line feeds as line ends.

    Code in an unknown language or of more than 20,000 characters is one token of plain text, and
    so is every code while lexers of other requests run for longer than two seconds.
    """
    normalized = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    if len(text) > _MAX_HIGHLIGHTED_CHARACTERS or not _lexer_lock.acquire(
        timeout=_MAX_WAIT_SECONDS
    ):
        return [("", normalized)]
    try:
        return _run_lexer(language.lower(), normalized)
    finally:
        _lexer_lock.release()


@lru_cache(maxsize=_CACHED_BLOCKS)
def _run_lexer(language: str, text: str) -> list[Token]:
    # Imported at the first use: it takes 2 MB, and a console without code in answers needs none.
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return [("", text)] if text else []
    tokens: list[Token] = []
    for token_type, value in lexer.get_tokens(text):
        name = _get_short_name(token_type)
        if tokens and tokens[-1][0] == name:
            tokens[-1] = (name, tokens[-1][1] + value)
        elif value:
            tokens.append((name, value))
    return tokens


def _get_short_name(token_type: "_TokenType") -> str:
    from pygments.token import STANDARD_TYPES, Text

    while token_type not in STANDARD_TYPES:
        token_type = token_type.parent or Text
    name: str = STANDARD_TYPES[token_type]
    return name
