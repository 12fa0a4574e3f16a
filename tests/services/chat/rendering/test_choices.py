"""Answers to choices that were typed."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.services.chat.domain.rendering.choices import match_answer, read_options

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OPTIONS = read_options(
    [{"id": "y", "title": "Yes, please"}, {"id": "n", "title": "No"}, {"title": "Später"}]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "y"),
        (" 2. ", "n"),
        ("#3", "3"),
        ("\uff12", "n"),
        ("\u0662", "n"),
        ("no", "n"),
        ("NO!", "n"),
        ("yes,  please.", "y"),
        ("SPÄTER", "3"),
        ("0", None),
        ("4", None),
        ("yes", None),
        ("", None),
        ("!!", None),
        ("1 or 2", None),
    ],
)
def test_number_or_title_names_an_option(text, expected):
    option = match_answer(text, OPTIONS, NOW, NOW + timedelta(hours=1))

    assert (option.id if option else None) == expected


def test_answer_after_a_day_is_an_ordinary_message():
    assert match_answer("1", OPTIONS, NOW, NOW + timedelta(hours=25)) is None
