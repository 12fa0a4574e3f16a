"""Question files: JSON Lines with the field names of several common data sets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_QUESTION_FIELDS: Final = ("question", "input", "user_request")
_EXPECTED_FIELDS: Final = ("expected", "answer", "output")


class InvalidQuestionFile(Exception):
    """The file is not a valid question file. The message contains the line and the correction."""


@dataclass(frozen=True, slots=True)
class EvaluationQuestion:
    """A question with its accepted answers and required citations.

    Attributes:
        must_cite: names or ids of documents that the answer must cite; may be empty.
        requires_citations: whether citations are scored.
    """

    question: str
    expected: Sequence[str]
    collection: str | None = None
    must_cite: Sequence[str] = ()
    requires_citations: bool = False


def read_questions(file: Path) -> list[EvaluationQuestion]:
    """Return the questions in *file*, or raise InvalidQuestionFile."""
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise InvalidQuestionFile(f"{file} cannot be read: {error}") from error
    questions = list(_parse_lines(file.name, lines))
    if not questions:
        raise InvalidQuestionFile(f"{file} contains no questions. Write one JSON object per line.")
    return questions


def _parse_lines(name: str, lines: Sequence[str]) -> Iterator[EvaluationQuestion]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        location = f"{name}, line {number}"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise InvalidQuestionFile(f"{location} is not valid JSON: {error}") from error
        if not isinstance(fields, dict):
            raise InvalidQuestionFile(f"{location} is not a JSON object.")
        yield _parse_question(location, fields)


def _parse_question(location: str, fields: Mapping[str, Any]) -> EvaluationQuestion:
    question = _get_first_field(location, fields, _QUESTION_FIELDS)
    expected = _get_first_field(location, fields, _EXPECTED_FIELDS)
    if not isinstance(question, str) or not question.strip():
        raise InvalidQuestionFile(f"{location}: the question must be a non-empty string.")
    must_cite = fields.get("must_cite")
    collection = fields.get("collection")
    return EvaluationQuestion(
        question=question.strip(),
        expected=_parse_texts(location, expected),
        collection=None if collection is None else str(collection),
        must_cite=() if must_cite in (None, False, True) else _parse_texts(location, must_cite),
        requires_citations=bool(must_cite),
    )


def _get_first_field(location: str, fields: Mapping[str, Any], names: Sequence[str]) -> object:
    for name in names:
        if name in fields:
            return fields[name]
    raise InvalidQuestionFile(f"{location} has none of the fields {', '.join(names)}.")


def _parse_texts(location: str, value: object) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str | int | float) for text in texts):
        raise InvalidQuestionFile(
            f"{location}: expected answers and citations must be a string or a list of strings."
        )
    return [str(text) for text in texts]
