"""Limits of the files of an import, errors of lines, and the JSON in them."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

MAX_LINES: Final = 100_000
MAX_LINE_CHARACTERS: Final = 64 * 1024


class InvalidLine(Exception):
    """A line cannot be imported. The message has the reason; *pointer* is the invalid field."""

    def __init__(self, detail: str, code: str = "validation_failed", pointer: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.pointer = pointer


# What the parser says about JSON beyond its limits.
_LIMITS: Final[Mapping[str, str]] = {
    "number out of range": "has a number of more than 4300 digits",
    "recursion limit exceeded": "has values nested deeper than 200 levels",
}


def parse_json(text: str, subject: str, pointer: str = "") -> Any:
    """Return the JSON value *text*, with the rules of request bodies.

    The json module would also accept NaN, infinity and lone surrogates, which no response can
    contain, and raise RecursionError for deep values.

    Raises:
        InvalidLine: it is not JSON. *subject* is what should be, such as "line".
    """
    try:
        return from_json(text.rstrip(), allow_inf_nan=False)
    except ValueError as error:
        reason = str(error).replace(" at line 1 column ", " at column ")
        limit = _LIMITS.get(reason.partition(" at ")[0])
        detail = limit or f"is not JSON: {reason}"
        code = "validation_failed" if pointer else "malformed_json"
        raise InvalidLine(f"The {subject} {detail}.", code, pointer) from None
