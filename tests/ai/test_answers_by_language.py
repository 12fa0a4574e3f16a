"""Answers and refusals without a language model, in languages that the model does not know."""
# ruff: noqa: RUF001 - non-Latin letters are intended

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from backend.ai.answer_options import (
    CROSS_LANGUAGE_OPTIONS,
    LEXICAL_OPTIONS,
    MULTILINGUAL_OPTIONS,
    get_answer_options,
)
from backend.ai.extractive_answers import extract_answer


@dataclass(frozen=True)
class TextChunk:
    text: str
    document_id: str = "doc_1"
    title: str = ""
    section: str = ""
    headings: Sequence[str] = field(default=())
    table_header: str = ""
    start: int = 0


class NoSimilarities:
    def compute_similarities(self, question, candidates):
        raise AssertionError("The embedding model does not know the language.")


TEXTS = {
    "de": "Hausmeister ist Jürgen Pohl. Die Kaution beträgt drei Monatsmieten. Das Treppenhaus wird"
    " freitags gereinigt.",
    "es": "La piscina abre en junio. La entrada cuesta 4,50 euros. El socorrista es Álvaro.",
    "ru": "Комендантом работает Нина Котова. Стирка стоит 70 рублей. Курить запрещено, так как был"
    " пожар.",
    "zh": "图书馆成立于1987年。现任馆长是刘文博。每次可借5本书。",
    "ar": "مدير المكتبة هو سامر الخطيب. رسوم الاشتراك 40 دينارا. تغلق المكتبة يوم الثلاثاء.",
    "tr": "Yurt müdürü Sevgi Aksoy'dur. Aylık ücret 3.500 liradır. Çamaşırhane bodrum katındadır.",
    "th": "ผู้จัดการหอพักคือคุณสมศรี แก้วมณี ค่าเช่าห้องเดือนละ 2,800 บาท เครื่องซักผ้าอยู่ที่ชั้นหนึ่ง",
}


@pytest.mark.parametrize(
    ("language", "question", "expected"),
    [
        ("de", "Wie hoch ist die Kaution?", "drei Monatsmieten"),
        ("de", "Wann wird das Treppenhaus gereinigt?", "freitags"),
        ("de", "Welches Passwort hat das WLAN?", None),
        ("es", "¿Cuánto cuesta la entrada?", "4,50"),
        ("es", "¿Cuál es la profundidad del lago?", None),
        ("ru", "Сколько стоит стирка?", "70"),
        ("ru", "Почему нельзя курить?", "пожар"),
        ("ru", "Какой пароль от интернета?", None),
        ("zh", "现任馆长叫什么名字？", "刘文博"),
        ("zh", "宿舍的无线网络密码是什么？", None),
        ("ar", "من هو مدير المكتبة؟", "سامر"),
        ("ar", "ما هي كلمة مرور الإنترنت؟", None),
        ("tr", "Çamaşırhane nerede?", "bodrum"),
        ("tr", "İnternet şifresi nedir?", None),
        ("th", "เครื่องซักผ้าอยู่ชั้นไหน", "ชั้นหนึ่ง"),
        ("th", "รหัสอินเทอร์เน็ตคืออะไร", None),
    ],
)
def test_question_is_answered_or_refused_by_its_words(language, question, expected):
    chunks = [TextChunk(TEXTS[language])]
    options = get_answer_options(question, chunks)

    sentences = extract_answer(question, chunks, NoSimilarities(), options)

    assert options is LEXICAL_OPTIONS
    if expected is None:
        assert not sentences
    else:
        assert expected in sentences[0].quote


def test_options_depend_on_languages_and_model():
    german, english = TextChunk(TEXTS["de"]), TextChunk("The deposit is three months of rent.")
    question = "Wie hoch ist die Kaution?"

    assert get_answer_options(question, [german], is_multilingual=True) is MULTILINGUAL_OPTIONS
    assert get_answer_options(question, [english], is_multilingual=True) is CROSS_LANGUAGE_OPTIONS
    assert get_answer_options(question, [english]) is LEXICAL_OPTIONS
