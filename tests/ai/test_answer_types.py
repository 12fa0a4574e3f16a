"""Sentences with the kind of answer that a question asks for, in several languages."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.answer_types import (
    asks_for_price,
    lacks_cost,
    match_answer_type,
    needs_answer_type,
)


@pytest.mark.parametrize(
    ("question", "with_answer", "without"),
    [
        ("How many plots are there?", "There are 64 plots.", "The garden is old."),
        ("Wann wird Leergut angenommen?", "Nur mittwochs.", "Leergut ist sauber."),
        ("Wann ist die Miete fällig?", "Am dritten Werktag.", "Die Miete ist hoch."),
        ("When is it void?", "It is void if no filter is used.", "It is a warranty."),
        ("When are refunds granted?", "As soon as the goods arrive.", "Refunds are granted."),
        ("¿Cuándo cierra?", "Cierra después de la misa.", "Cierra la puerta."),
        ("Когда закрыто?", "Закрыто в праздники.", "Закрыто."),
        ("什么时候付款？", "月底付款。", "付款方便。"),
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


@pytest.mark.parametrize(
    ("question", "with_answer", "without"),
    [
        ("Why is the water switched off?", "Because the pipes freeze.", "The water is off."),
        ("In which year was it built?", "It was built in 1854.", "It opens at 10:30."),
        ("Ký túc xá xây năm nào?", "Xây năm 1982.", "Cổng đóng lúc 22 giờ 30."),
        ("图书馆是哪一年成立的？", "成立于1987年。", "每次可借5本书。"),
        ("Who built it (Tom Fitch)?", "It was built by Tom Fitch.", "It is old."),
    ],
)
def test_year_reason_or_name_is_required(question, with_answer, without):
    assert match_answer_type(question, with_answer) == 1.0
    assert match_answer_type(question, without) == 0.0


@pytest.mark.parametrize(
    ("question", "sentence", "needs_name"),
    [
        ("Who pays the postage?", "The customer pays the postage.", False),
        ("Who may use the pool?", "All tenants may use the pool.", False),
        ("Who cleaned the stairs?", "The stairs were cleaned by a company.", False),
        ("Wer darf die Waschküche benutzen?", "Die Waschküche steht den Mietern offen.", False),
        ("Wer hat die Treppe gebaut?", "Die Treppe wurde von der Stadt gebaut.", False),
        ("Who founded the allotment?", "The allotment has 64 plots.", True),
        ("Wer hat die Zeche gegründet?", "Die Zeche wurde 1854 gegründet.", True),
        ("¿Quién fundó la piscina?", "La piscina abre en junio.", True),
        ("Кто построил маяк?", "Маяк построен давно.", True),
        ("Müzeyi kim kurdu?", "Müze büyüktür.", True),
        ("When does it open?", "It is closed.", True),
    ],
)
def test_role_can_answer_who_does_something(question, sentence, needs_name):
    assert needs_answer_type(question, sentence) is needs_name


@pytest.mark.parametrize(
    ("question", "is_price"),
    [("How much is the deposit?", True), ("停车费多少钱？", True), ("How many plots?", False)],
)
def test_question_for_a_price_is_recognised(question, is_price):
    assert asks_for_price(question) is is_price


@pytest.mark.parametrize(
    ("question", "sentence", "expected"),
    [
        ("How much does the pump cost?", "The pump weighs 16 kg.", True),
        ("How much does the pump cost?", "It is 90 euros.", False),
        ("What does entry cost?", "Children enter free.", False),
        ("How much does the pump weigh?", "The pump weighs 16 kg.", False),
        ("Сколько стоит насос?", "Масса насоса 16 килограммов.", True),
        ("Сколько стоит насос?", "Насос продают за 900 рублей.", False),
        ("打印一页纸多少钱？", "打印一页纸收费五角。", False),
        ("打印一页纸多少钱？", "自习室有120个座位。", True),
    ],
)
def test_sentence_without_money_lacks_a_cost(question, sentence, expected):
    assert lacks_cost(question, sentence) is expected
