"""Parsers of JSON and JSON Lines."""

import pytest

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.text import json_records


def test_json_values_are_prefixed_with_their_path(parse_with):
    parsed = parse_with(
        json_records.parse_json,
        '{"title": "Prices", "shop": {"city": "Köln", "open": true}, '
        '"items": [{"name": "Nut", "price": 1.10}, {"name": "Bolt", "sizes": [3, 4]}]}',
    )

    assert parsed.title == "Prices"
    assert parsed.text == (
        "title: Prices\nshop.city: Köln\nshop.open: true\n"
        "items.name: Nut\nitems.price: 1.10\n\nitems.name: Bolt\nitems.sizes: 3, 4"
    )


def test_each_json_line_is_a_paragraph(parse_with):
    parsed = parse_with(json_records.parse_json_lines, '{"a": 1}\n\n{"a": null}\n')

    assert parsed.text == "a: 1\n\na: null"


@pytest.mark.parametrize("text", ['{"a": ', "[1,]", "[" * 100_000])
def test_invalid_json_is_rejected(parse_with, text):
    with pytest.raises(UnreadableFile, match="JSON"):
        parse_with(json_records.parse_json, text)


def test_text_of_repeated_long_keys_is_bounded(parse_with):
    values = ", ".join(['{"a": 1}'] * 2000)

    with pytest.raises(UnreadableFile, match="more text"):
        parse_with(json_records.parse_json, f'{{"{"k" * 50_000}": [{values}]}}')


def test_error_names_the_invalid_line(parse_with):
    with pytest.raises(UnreadableFile, match="Line 2"):
        parse_with(json_records.parse_json_lines, "{}\n{\n")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0c"])
def test_line_separator_in_a_string_does_not_end_a_json_line(parse_with, separator):
    escaped = separator if separator > "\x1f" else "\\f"
    lines = f'{{"a": "x{escaped}y"}}\r\n\n{{"a": "é"}}\n'

    parsed = parse_with(json_records.parse_json_lines, lines)

    assert parsed.text.split() == ["a:", "x", "y", "a:", "é"]
