"""Sentences that state the number of what a question counts, in several languages."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.counted_things import find_counted_words, is_counted_in


@pytest.mark.parametrize(
    ("language", "question", "with_number", "with_other_number"),
    [
        (
            *("en", "How many plots are there?"),
            *("There are 64 plots.", "A plot costs 85 pounds a year."),
        ),
        ("en", "How many of the members vote?", "Of 40 members, 12 vote.", "The fee is 9 euros."),
        (
            *("de", "Wie viele Bücher hat die Bücherei?"),
            *("Sie hat 3.200 alte Bücher.", "Die Leihfrist für Bücher beträgt vier Wochen."),
        ),
        (
            "es",
            "¿Cuántos socios hay?",
            "Tiene doce socios.",
            "Los socios pagan una cuota de 120 euros.",
        ),
        ("ru", "Сколько комнат в здании?", "В здании 40 комнат.", "Вход в комнаты закрыт с 23:00."),
        (
            "el",
            "Πόσα κρεβάτια υπάρχουν;",
            "Έχει 36 κρεβάτια.",
            "Βρίσκεται σε υψόμετρο 1.940 μέτρων.",
        ),
        (
            "ro",
            "Câte terenuri sunt?",
            "Are patru terenuri.",
            "Închirierea terenului costă pe oră 45 de lei.",
        ),
        ("tr", "Müzede kaç eser var?", "1.750 eser sergilenir.", "Müze 1968 yılında kuruldu."),
        ("vi", "Có bao nhiêu phòng?", "Nhà có 20 phòng.", "Cổng đóng lúc 22 giờ 30."),
        ("ar", "كم كتابا يمكن استعارته؟", "يمكن استعارة خمسة كتب.", "رسوم الاشتراك 40 دينارا."),
        ("hi", "किले में कितने द्वार हैं?", "किले में सात द्वार हैं।", "किला 1643 में बना।"),
        ("zh", "图书馆有几台电脑？", "馆内有30台电脑。", "图书馆成立于1987年，现有藏书12万册。"),
        ("zh", "图书馆有多少藏书？", "现有藏书12万册。", "图书馆成立于1987年。"),
        ("th", "หอพักมีกี่ห้อง", "หอพักมี 40 ห้อง", "หอพักปิดประตูเวลา 22.30 น."),
    ],
)
def test_number_of_the_counted_things_differs_from_other_numbers(
    language, question, with_number, with_other_number
):
    counted = find_counted_words(question, language)

    assert counted
    assert is_counted_in(with_number, counted, language)
    assert not is_counted_in(with_other_number, counted, language)


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("en", "How much does a plot cost?"),
        ("en", "When does it open?"),
        ("de", "Wie lange dauert die Führung?"),
        ("ru", "Сколько стоит билет?"),
        ("tr", "Yurdun kapısı saat kaçta kapanıyor?"),
        ("tr", "Müzede kaç kişi çalışıyor?"),
        ("ar", "كم يكلف الفحص العام؟"),
        ("zh", "门票多少钱？"),
        ("zh", "宿舍几点关门？"),
        ("th", "หอพักปิดประตูกี่โมง"),
        ("", "How many plots are there?"),
    ],
)
def test_question_that_counts_nothing_names_nothing(language, question):
    assert find_counted_words(question, language) == ()
