"""Designations, such as "room 305", in questions and statements."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.designations import begins_with_another, find_designations, names_another


@pytest.mark.parametrize(
    ("language", "question", "statement", "expected"),
    [
        ("en", "What is in room 305?", "Room 118 is the kitchen.", True),
        ("en", "What is in room 305?", "Room 305 is the kitchen.", False),
        ("en", "What is in room 305?", "Rooms 301 to 305 are offices.", False),
        ("en", "When does flight LH 999 leave?", "Flight LH 441 leaves at 10:15.", True),
        ("en", "What does error E99 mean?", "E27: toner empty.", True),
        ("en", "What does error E27 mean?", "E-27: toner empty.", False),
        ("en", "Is the B-40 heavier than the B-60?", "The B-60 weighs 9 kg.", False),
        ("en", "What does section 4.3 say?", "Section 4.2: Ask first.", True),
        ("en", "Who was in charge in 2022?", "In 2021 Ada was.", False),
        ("en", "Who was in charge in 2022?", "In charge was Ada.", False),
        ("de", "Was kostet die Schraube M10?", "Schraube M6; Lager: 10", True),
        ("de", "Was kosten 10 Schrauben M6?", "Schrauben M6 kosten 12 Cent.", False),
        ("de", "Was steht in § 9?", "§ 4 Kaution\nSie beträgt drei Mieten.", True),
        ("de", "Wie hoch ist der Rabatt ab 100 Stück?", "Ab 50 Stück sind es 5 %.", False),
        ("ru", "Что находится в комнате 305?", "Комната 118 — это кухня.", True),
        ("zh", "错误代码E99是什么意思？", "E11：没有点火。", True),
        ("zh", "错误代码E11是什么意思？", "E11：没有点火。", False),
    ],
)
def test_statement_with_other_numbers_of_a_name_is_recognised(
    language, question, statement, expected
):
    designations = find_designations(question, language)

    assert names_another(statement, designations, language) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("§ 6 Tierhaltung", True),
        ("- § 6: Tiere sind verboten.", True),
        ("Siehe auch § 6.", False),
        ("§ 5 und § 6 gelten.", False),
    ],
)
def test_statement_that_begins_with_another_designation_is_recognised(statement, expected):
    designations = find_designations("Was steht in § 5?", "de")

    assert begins_with_another(statement, designations, "de") is expected
