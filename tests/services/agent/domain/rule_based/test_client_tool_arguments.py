"""Arguments of client-defined tools, guessed by the built-in model."""

import pytest

from backend.services.agent.domain.rule_based.client_tool_arguments import (
    find_numbers,
    guess_arguments,
)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("How long is the warranty of the X-200 pump?", [200]),
        ("Die Garantie des Modells KX-7 beträgt 24 Monate.", [7, 24]),
        ("le vol AF-447, porte F-16", [447, 16]),
        ("製品X-200の保証期間", [200]),
        ("COVID\u201119 and type\u20102 cells", [19, 2]),
        ("from 2026-11-29 on", [2026, 11, 29]),
        ("29.11.2026", [29, 11, 2026]),
        ("pages 5-10", [5, 10]),
        ("pages 5\u201310 and 7\u20129", [5, 10, 7, 9]),
        ("5%-10%, (3)-4, [1]-2", [5, 10, 3, 4, 1, 2]),
        ("call +49 221-4455", [49, 221, 4455]),
        ("a tolerance of +/-5 or ±-3", [5, 3]),
        ("10\u22125", [10, 5]),
        ("09:30-11:45", [9, 30, 11, 45]),
        ("--5", [5]),
        ("- 5 apples", [5]),
        ("version_-3", [3]),
    ],
)
def test_hyphen_in_names_dates_and_ranges_is_no_minus(text, numbers):
    assert find_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Set the freezer to -18 degrees.", [-18]),
        ("-18", [-18]),
        ("Stelle auf \u221218,5 Grad.", [-18.5]),
        ("between -5 and -1", [-5, -1]),
        ("from -5--1", [-5, -1]),
        ("\u22125\u2013\u22121", [-5, -1]),
        ('(-3), [-4], =-5, <-6, :-7, $-8, "-9"', [-3, -4, -5, -6, -7, -8, -9]),
        ("52.5,-13.4", [52.5, -13.4]),
        ("冷冻室设为-18度", [-18]),
        ("balance: -$250, then -€5.50", [-250, -5.5]),
        ("Make it minus 12, not 12 minus 8", [-12, 12, 8]),
        ("moins 7 degrés, минус 8", [-7, -8]),
        ("冷凍庫を\uff0d18度に", [-18]),
        ("ตั้งไว้ที่-18องศา", [-18]),
        ("اضبط على -18", [-18]),
    ],
)
def test_minus_sign_at_the_start_of_a_word_is_kept(text, numbers):
    assert find_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,250 or 1,250,000.5", [1250, 1250000.5]),
        ("1,5 Liter", [1.5]),
        ("1.234,56 Euro", [1234.56]),
        ("1.000.000 Einwohner", [1000000]),
        ("version 3.11.4 on 192.168.0.1", [3, 11, 4, 192, 168, 0, 1]),
        ("0,125", [0.125]),
        ("items 1, 2,and 3", [1, 2, 3]),
        ("\u0663 and \uff11\uff12", [3, 12]),
        ("9" * 400, []),
        ("no number", []),
    ],
)
def test_numbers_are_those_of_the_text(text, numbers):
    assert find_numbers(text) == numbers


def parameters(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_missing_number_of_a_required_call_is_left_out():
    schema = parameters(months={"type": "integer"}, unit={"enum": ["month", "year"]})

    assert guess_arguments("How long?", schema, required=True) == {"unit": "month"}
    assert guess_arguments("How long?", schema, required=False) is None


def test_integer_is_a_whole_number_of_the_text():
    schema = parameters(months={"type": "integer"}, price={"type": ["null", "number"]})

    assert guess_arguments("2.5 euros for 6 months", schema, required=True) == {
        "months": 6,
        "price": 2.5,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"required": "months"},
        {"required": [7, None, {}], "properties": []},
        {"required": ["a"], "properties": {"a": ["integer"]}},
        {"required": ["a"], "properties": {"a": {"enum": "x", "type": {}}}},
    ],
)
def test_malformed_schema_is_no_error(schema):
    assert isinstance(guess_arguments("Hello 5", schema, required=True), dict)


def test_numbers_of_a_long_text_are_found_in_linear_time():
    text = "1,111" * 20_000 + "1." * 20_000 + "-1,1" * 10_000

    assert len(find_numbers(text)) > 10_000
