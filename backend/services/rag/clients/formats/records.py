"""JSON and JSON Lines: a line for each value, led by the names that lead to it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from backend.services.rag.clients.formats.encodings import decoded
from backend.services.rag.clients.formats.page import Content, Page, TextBuilder, Unreadable

_TITLES = ("title", "name")


def read_json(file: Path) -> Content:
    value = _parsed(decoded(file.read_bytes()), "This is no valid JSON: {0}.")
    named = value if isinstance(value, dict) else {}
    title = next((named[key] for key in _TITLES if isinstance(named.get(key), str)), "")
    return Content([_page([value])], title)


def read_lines(file: Path) -> Content:
    """A block for each line of the file."""
    lines = enumerate(decoded(file.read_bytes()).splitlines(), start=1)
    return Content(
        [
            _page(
                _parsed(line, f"Line {number} is no valid JSON: {{0}}.")
                for number, line in lines
                if line.strip()
            )
        ]
    )


def _page(values: Iterable[Any]) -> Page:
    text = TextBuilder()
    for value in values:
        for line in _lines(value, ""):
            text.add(f"{line}\n")
        text.add("\n")
    return text.page()


def _parsed(text: str, complaint: str) -> Any:
    try:
        # Numbers stay as they are written: 1.10 is no 1.1, and 1e400 no infinity.
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        where = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise Unreadable("unreadable_document", complaint.format(where)) from error
    except RecursionError as error:
        raise Unreadable("too_complex", "This JSON is nested too deeply.") from error


def _lines(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lines(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            for item in value:
                yield from _lines(item, path)
                if isinstance(item, dict):
                    yield ""
        elif value:
            yield _line(path, ", ".join(map(_shown, value)))
    else:
        yield _line(path, _shown(value))


def _line(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)
