"""Date and time in the language of a request."""
# ruff: noqa: RUF001 - non-Latin letters are intended

from datetime import datetime

import pytest

from backend.services.agent.tools.date_texts import format_moment
from tests.services.agent.fakes import post_query

MOMENT = datetime(2026, 3, 2, 9, 5)  # noqa: DTZ001 - the local time of a zone


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "It is Monday, 02 March 2026, 09:05 in Europe/Paris."),
        ("", "It is Monday, 02 March 2026, 09:05 in Europe/Paris."),
        ("de", "Es ist Montag, der 2. März 2026, 09:05 Uhr in Europe/Paris."),
        ("es", "Es lunes, 2 de marzo de 2026, 09:05 en Europe/Paris."),
        ("ru", "Сейчас понедельник, 2 марта 2026 года, 09:05 (Europe/Paris)."),
        ("vi", "Bây giờ là 09:05, thứ Hai, ngày 2 tháng 3 năm 2026 (Europe/Paris)."),
        ("zh", "现在是2026年3月2日星期一 09:05（Europe/Paris）。"),
    ],
)
def test_time_is_written_in_the_language(language, expected):
    assert format_moment(MOMENT, "Europe/Paris", language) == expected


def test_every_language_has_all_weekdays_and_months():
    for language in ("de", "es", "fr", "it", "pt", "ru", "el", "ro", "tr", "vi", "ar", "hi", "th"):
        days = {format_moment(MOMENT.replace(day=day), "UTC", language) for day in range(2, 9)}
        months = {
            format_moment(MOMENT.replace(month=month), "UTC", language) for month in range(1, 13)
        }
        assert (len(days), len(months)) == (7, 12)


@pytest.mark.parametrize(
    ("question", "start"),
    [("What time is it?", "It is "), ("Wie spät ist es?", "Es ist "), ("Который час?", "Сейчас ")],
)
def test_question_for_the_time_is_answered_in_its_language(client, ada, question, start):
    assert post_query(client, ada, question).json["response"].startswith(start)
