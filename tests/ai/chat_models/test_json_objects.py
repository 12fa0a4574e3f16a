"""Parsing of JSON objects that a language model writes."""

import pytest

from backend.ai.chat_models.json_objects import parse_json_object


def test_object_with_finite_numbers_is_returned():
    assert parse_json_object('{"size": [1, 2.5, 1e300], "name": "NaN"}') == {
        "size": [1, 2.5, 1e300],
        "name": "NaN",
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"size": NaN}',
        '{"size": Infinity}',
        '{"size": -Infinity}',
        '{"size": 1e400}',
        '{"size": [{"width": -1e400}]}',
        "[1]",
        "1",
        '{"size": ',
        '{"name": "\\ud800"}',
        "",
    ],
)
def test_text_that_is_no_object_with_finite_numbers_is_rejected(text):
    with pytest.raises(ValueError, match=r"JSON|expected|EOF|number|surrogate"):
        parse_json_object(text)
