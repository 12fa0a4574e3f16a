"""Identification of tracking numbers, and the command `identify`."""

import json

import pytest

from backend.services.packages.__main__ import main
from backend.services.packages.domain.tracking_numbers import _FILE, identify

COURIERS = json.loads(_FILE.read_text())
NUMBERS = [
    (kind, courier["courier_code"], entry["name"], number)
    for courier in COURIERS
    for entry in courier["tracking_numbers"]
    for kind in ("valid", "invalid")
    for number in entry["test_numbers"][kind]
]


def test_every_public_number_is_identified():
    wrong = []
    for kind, carrier, name, number in NUMBERS:
        formats = {(each.carrier, each.name) for each in identify(number).candidates}
        if ((carrier, name) in formats) != (kind == "valid"):
            wrong.append((kind, carrier, name, number))

    assert len(NUMBERS) == 160
    assert wrong == []


@pytest.mark.parametrize("separator", [" ", "-", ".", "\u00a0", "\u2212", "\u200b", "\u00ad"])
def test_separators_and_lower_case_do_not_change_the_result(separator):
    for number in ("1Z5R89390357567127", "287809468872", "LX17635036", "JFV247545960"):
        parts = [number[index : index + 4] for index in range(0, len(number), 4)]

        result = identify(separator.join(parts).lower())

        assert result == identify(number)


@pytest.mark.parametrize(
    "text", ["(00)106141412345678908", "(00) 1 0614141 234567890 8", "106141412345678908"]
)
def test_application_identifier_is_no_part_of_an_sscc(text):
    assert identify(text).number == "106141412345678908"


def test_barcode_of_an_sscc_names_no_carrier():
    result = identify("00340434161094027318")

    assert (result.carrier, [each.carrier for each in result.candidates]) == (None, ["usps"])


@pytest.mark.parametrize("digit", "012345678")
def test_wrong_check_digit_is_invalid(digit):
    assert not identify(f"RA12345678{digit}DE").is_valid or digit == "5"


@pytest.mark.parametrize(
    "number", ["", " ", "0" * 12, "1Z" * 100, "\u0660" * 12, "1Z5R8939035756712é"]
)
def test_text_that_is_no_number_is_invalid(number):
    result = identify(number)

    assert (result.is_valid, result.carrier) == (False, None)


def test_identify_prints_a_json_object_for_each_number(capsys):
    status = main(["identify", "1Z5R89390357567127", "287809468872", "nothing"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 0
    assert [(line["carrier"], line["valid"]) for line in lines] == [
        ("ups", True),
        (None, True),
        (None, False),
    ]
    assert lines[0]["candidates"] == [{"carrier": "ups", "format": "UPS", "check_digit": True}]
