"""The subject of a question is found without the words of its form."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.text.function_words import extract_subject_terms
from backend.ai.text.terms import extract_terms


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("Wie hoch ist die Kaution?", "Kaution"),
        ("Was ist der Preis einer Feder?", "Preis Feder"),
        ("In welcher Abteilung arbeitet Jan Moll?", "Abteilung arbeitet Jan Moll"),
        ("Quel est le prix du ressort ?", "prix ressort"),
        ("Quel est le numéro de téléphone ?", "téléphone"),
        ("Qu'est-ce que l'inventaire ?", "inventaire"),
        ("¿Cuál es el precio del muelle?", "precio muelle"),
        ("Qual è il prezzo della molla?", "prezzo molla"),
        ("Qual é o preço da mola?", "preço mola"),
        ("Wat is de prijs van een veer?", "prijs veer"),
        ("Какая цена у пружины?", "цена пружины"),
        ("弹簧的价格是多少？", "弹簧 价格"),
        ("什么时候闭馆？", "闭馆"),
        ("借书期限是多长？", "借书期限"),
        ("电话号码是多少？", "电话"),
        ("ばねの価格はいくらですか。", "ばね 価格"),
        ("電話番号は何ですか。", "電話"),
        ("สำนักงานใหญ่อยู่ที่ไหน", "สำนักงานใหญ่"),
    ],
)
def test_subject_has_no_words_of_the_form_of_the_question(question, subject):
    terms = {term for term in extract_terms(subject) if len(term) > 1}
    assert extract_subject_terms(question) == terms


@pytest.mark.parametrize(
    "question",
    ["When did the king die?", "Who plays in the war of the son?", "Where is La Paz?", ""],
)
def test_english_words_are_not_taken_for_function_words_of_other_languages(question):
    assert extract_subject_terms(question) == frozenset(extract_terms(question))
