"""JSON and JSON Lines."""

import pytest

from backend.services.rag.clients.formats import records
from backend.services.rag.clients.formats.page import Unreadable


def test_a_value_is_led_by_the_names_that_lead_to_it(read_with):
    read = read_with(
        records.read_json,
        '{"title": "Prices", "shop": {"city": "Köln", "open": true}, '
        '"items": [{"name": "Nut", "price": 1.10}, {"name": "Bolt", "sizes": [3, 4]}]}',
    )

    assert read.title == "Prices"
    assert read.text == (
        "title: Prices\nshop.city: Köln\nshop.open: true\n"
        "items.name: Nut\nitems.price: 1.10\n\nitems.name: Bolt\nitems.sizes: 3, 4"
    )


def test_each_line_is_a_block(read_with):
    read = read_with(records.read_lines, '{"a": 1}\n\n{"a": null}\n')

    assert read.text == "a: 1\n\na: null"


@pytest.mark.parametrize("text", ['{"a": ', "[1,]", "[" * 100_000])
def test_what_is_no_json_is_unreadable(read_with, text):
    with pytest.raises(Unreadable, match="JSON"):
        read_with(records.read_json, text)


def test_a_long_name_does_not_become_a_long_text(read_with):
    values = ", ".join(['{"a": 1}'] * 2000)

    with pytest.raises(Unreadable, match="more text"):
        read_with(records.read_json, f'{{"{"k" * 50_000}": [{values}]}}')


def test_a_wrong_line_is_named(read_with):
    with pytest.raises(Unreadable, match="Line 2"):
        read_with(records.read_lines, "{}\n{\n")
