"""Files of questions: one JSON object a line, as data sets of many origins write them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_QUESTION: Final = ("question", "input", "user_request")
_EXPECTED: Final = ("expected", "answer", "output")


class BadQuestions(Exception):
    """A file that holds no questions; the message says where and what to write instead."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A question, all answers that are right, and what has to be cited.

    `must_cite` holds names or ids of documents; empty where `cites` alone is asked for.
    """

    question: str
    expected: Sequence[str]
    collection: str | None = None
    must_cite: Sequence[str] = ()
    cites: bool = False


def read_questions(file: Path) -> list[Expectation]:
    """The questions in *file*, or BadQuestions."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise BadQuestions(f"{file} cannot be read: {error}") from error
    found = list(_expectations(file.name, lines))
    if not found:
        raise BadQuestions(f"{file} holds no question. Write one JSON object a line.")
    return found


def _expectations(name: str, lines: Sequence[str]) -> Iterator[Expectation]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            found = json.loads(line)
        except ValueError as error:
            raise BadQuestions(f"{where} is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise BadQuestions(f"{where} is no JSON object.")
        yield _expectation(where, found)


def _expectation(where: str, found: Mapping[str, Any]) -> Expectation:
    question = _first(where, found, _QUESTION)
    expected = _first(where, found, _EXPECTED)
    if not isinstance(question, str) or not question.strip():
        raise BadQuestions(f"{where}: the question must be a text.")
    cited = found.get("must_cite")
    collection = found.get("collection")
    return Expectation(
        question=question.strip(),
        expected=_texts(where, expected),
        collection=None if collection is None else str(collection),
        must_cite=() if cited in (None, False, True) else _texts(where, cited),
        cites=bool(cited),
    )


def _first(where: str, found: Mapping[str, Any], names: Sequence[str]) -> object:
    for name in names:
        if name in found:
            return found[name]
    raise BadQuestions(f"{where} has none of the fields {', '.join(names)}.")


def _texts(where: str, given: object) -> list[str]:
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(each, str | int | float) for each in texts):
        raise BadQuestions(f"{where}: what is expected or cited must be a text or a list of texts.")
    return [str(each) for each in texts]
