"""Sentences with the kind of answer that a question asks for, in several languages."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.answer_types import match_answer_type


@pytest.mark.parametrize(
    ("question", "with_answer", "without"),
    [
        ("How many plots are there?", "There are 64 plots.", "The garden is old."),
        ("Wann wird Leergut angenommen?", "Nur mittwochs.", "Leergut ist sauber."),
        ("Wer leitet das Amt?", "Es wird von Frau Kröger geleitet.", "Das Amt ist groß."),
        ("Warum ist es verboten?", "Weil der Flur frei bleiben muss.", "Es ist verboten."),
        ("¿Cuándo abre la piscina?", "Abre en junio.", "La piscina es grande."),
        ("¿Por qué se cerró?", "Se cerró porque era vieja.", "Se cerró."),
        ("Сколько стоит чай?", "Чай стоит сто рублей.", "Чай вкусный."),
        ("Кто построил маяк?", "Его построил Карл Лемке.", "Маяк построен давно."),
        ("Почему нельзя курить?", "Так как был пожар.", "Курить нельзя."),
        ("图书馆有多少藏书？", "藏书十二万册。", "图书馆很大。"),
        ("为什么搬家？", "原因是漏水。", "图书馆搬家了。"),
        ("متى بنيت القلعة؟", "بنيت سنة 1187.", "القلعة كبيرة."),
        ("لماذا أغلقت؟", "أغلقت بسبب الزلزال.", "أغلقت القلعة."),
        ("Πόσο κοστίζει;", "Κοστίζει πέντε ευρώ.", "Είναι ακριβό."),
        ("किला कब बना?", "किला 1643 में बना।", "किला बड़ा है।"),
        ("Cât costă biletul?", "Costă 8 lei.", "Biletul este verde."),
        ("ตั๋วราคาเท่าไร", "ตั๋วราคาห้าสิบบาท", "ตั๋วสีเขียว"),
        ("Müze hangi gün kapalı?", "Pazartesi kapalıdır.", "Müze büyüktür."),
        ("Tại sao cấm?", "Cấm vì có thể gây cháy.", "Cấm dùng."),
    ],
)
def test_sentence_with_the_kind_of_answer_is_recognised(question, with_answer, without):
    assert match_answer_type(question, with_answer) == 1.0
    assert match_answer_type(question, without) == 0.0
