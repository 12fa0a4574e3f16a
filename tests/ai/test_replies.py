"""Fixed sentences of answers are in the language of the question."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.replies import Reply, get_reply, is_refusal
from backend.ai.text.languages import detect_language


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Where are the spare keys kept?", "en"),
        ("Wo liegen die Ersatzschlüssel?", "de"),
        ("¿Dónde están las llaves de repuesto?", "es"),
        ("Где лежат запасные ключи?", "ru"),
        ("备用钥匙放在哪里？", "zh"),
        ("أين توجد المفاتيح الاحتياطية؟", "ar"),
        ("Πού βρίσκονται τα εφεδρικά κλειδιά;", "el"),
        ("अतिरिक्त चाबियाँ कहाँ रखी हैं?", "hi"),
        ("Unde sunt cheile de rezervă?", "ro"),
        ("กุญแจสำรองอยู่ที่ไหน", "th"),
        ("Yedek anahtarlar nerede?", "tr"),
        ("Chìa khóa dự phòng ở đâu?", "vi"),
    ],
)
def test_refusal_is_in_the_language_of_the_question(question, language):
    for reply in (Reply.NOTHING_FOUND, Reply.NO_ANSWER):
        sentence = get_reply(reply, question)
        assert detect_language(sentence) == language
        assert is_refusal(sentence)


@pytest.mark.parametrize("question", ["", "AB-1234", "Hvor ligger ekstranøglerne?"])
def test_refusal_is_in_english_for_other_languages(question):
    assert get_reply(Reply.NO_ANSWER, question) == (
        "The documents you can read say nothing about this."
    )


def test_answer_is_not_a_refusal():
    assert not is_refusal("Die Schlüssel liegen im blauen Schuppen.")
