"""Parsers of JSON and JSON Lines. Each value becomes a line that starts with its path.

`{"shop": {"city": "Köln"}}` becomes `shop.city: Köln`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.content import Content, Page, TextBuilder, UnreadableFile

_TITLE_KEYS = ("title", "name")


def parse_json(file: Path) -> Content:
    value = _load_json(decode_text(file.read_bytes()), "The file is not valid JSON: {0}.")
    fields = value if isinstance(value, dict) else {}
    title = next((fields[key] for key in _TITLE_KEYS if isinstance(fields.get(key), str)), "")
    return Content([_to_page([value])], title)


def parse_json_lines(file: Path) -> Content:
    """Return one paragraph per line of the file.

    Lines end at a line feed only: JSON strings may contain U+2028 and other line separators.
    """
    lines = enumerate(decode_text(file.read_bytes()).split("\n"), start=1)
    return Content(
        [
            _to_page(
                _load_json(line, f"Line {number} is not valid JSON: {{0}}.")
                for number, line in lines
                if line.strip()
            )
        ]
    )


def _to_page(values: Iterable[Any]) -> Page:
    text = TextBuilder()
    for value in values:
        for line in _iterate_lines(value, ""):
            text.add_text(f"{line}\n")
        text.add_text("\n")
    return text.to_page()


def _load_json(text: str, message: str) -> Any:
    """Parse *text*. *message* is the error message; `{0}` is replaced with the reason."""
    try:
        # Keep numbers as they are written: 1.10 stays 1.10, and 1e400 does not become infinity.
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise UnreadableFile("unreadable_document", message.format(reason)) from error
    except RecursionError as error:
        raise UnreadableFile("too_complex", "The JSON is nested too deeply.") from error


def _iterate_lines(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _iterate_lines(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            for item in value:
                yield from _iterate_lines(item, path)
                if isinstance(item, dict):
                    yield ""
        elif value:
            yield _format_line(path, ", ".join(map(_format_scalar, value)))
    else:
        yield _format_line(path, _format_scalar(value))


def _format_line(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text


def _format_scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)
