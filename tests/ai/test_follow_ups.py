"""Follow-up questions are completed from the conversation before them."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.follow_ups import MAX_CHARACTERS, FollowUpOptions, Turn, rewrite_follow_up


def conversation(*messages):
    roles = ("user", "assistant")
    return [Turn(roles[index % 2], message) for index, message in enumerate(messages)]


POOL = conversation("When does the pool open in summer?", "It opens at nine.")


@pytest.mark.parametrize(
    ("question", "history", "expected"),
    [
        ("When is the town hall open?", [], "When is the town hall open?"),
        ("And in winter?", POOL, "When does the pool open in winter?"),
        ("What about the sauna?", POOL, "When does the sauna open in summer?"),
        ("When is the town hall open?", POOL, "When is the town hall open?"),
        (
            "How much does it cost?",
            conversation("Where is the museum of glass?", "In Murano."),
            "How much does it cost? (museum glass)",
        ),
        (
            "When was she born?",
            conversation("Who founded the bakery?", "Greta Sommer founded it in 1921. [1]"),
            "When was she born? (Greta Sommer founded bakery)",
        ),
        (
            "Und im Winter?",
            conversation("Wann öffnet das Freibad im Sommer?", "Um neun."),
            "Wann öffnet das Freibad im Winter?",
        ),
        (
            "what about the X-300?",
            conversation("How long is the warranty of the X-200?"),
            "How long is the warranty of the X-300?",
        ),
    ],
)
def test_follow_up_is_completed_from_the_conversation(question, history, expected):
    assert rewrite_follow_up(question, history) == expected


def test_follow_up_of_a_follow_up_keeps_the_topic():
    history = conversation(
        "When does the pool open in summer?", "At nine.", "And in winter?", "At ten."
    )

    rewritten = rewrite_follow_up("What about the sauna?", history)

    assert rewritten == "When does the sauna open in winter?"


def test_added_text_of_long_messages_is_bounded():
    history = conversation("why " * 3000 + "pool", "so " * 3000)
    question = "and how much does it cost? " * 100

    assert len(rewrite_follow_up(question, history)) <= len(question) + MAX_CHARACTERS


@pytest.mark.parametrize(
    ("options", "question", "expected"),
    [
        (FollowUpOptions(max_words=3), "And who built it?", "And who built it?"),
        (
            FollowUpOptions(max_reference_words=3),
            "Who has ever built it?",
            "Who has ever built it?",
        ),
        (
            FollowUpOptions(prepends_question=True),
            "Who built it?",
            "When does the pool open in summer? Who built it?",
        ),
    ],
)
def test_options_limit_and_format_follow_ups(options, question, expected):
    assert rewrite_follow_up(question, POOL, options) == expected


@pytest.mark.parametrize(
    ("first", "follow_up", "added"),
    [
        ("¿Cuántos kilómetros tiene el sendero?", "¿Dónde termina?", "sendero"),
        ("Сколько стоит капучино?", "А чай?", "капучино"),
        ("Какова высота башни маяка?", "Когда его построили?", "маяка"),
        ("图书馆有多少藏书？", "它在哪里？", "图书馆"),
        ("متى بنيت القلعة؟", "ومتى رممت؟", "القلعة"),
        ("Πότε ιδρύθηκε το μουσείο;", "Ποιος το ίδρυσε;", "μουσείο"),
        ("मोती झील किसने खुदवाई?", "यह कितनी गहरी है?", "झील"),
        ("Cine a înființat ferma?", "Câte oi are?", "ferma"),
        ("Kartal Yolu kaç kilometre?", "Nerede başlıyor?", "Kartal"),
        ("Bảo tàng có bao nhiêu hiện vật?", "Nó ở đâu?", "tàng"),
    ],
)
def test_words_of_the_first_question_are_added_in_many_languages(first, follow_up, added):
    completed = rewrite_follow_up(follow_up, conversation(first, "…"))

    assert added in completed
    assert len(completed) > len(follow_up)


@pytest.mark.parametrize(
    "question",
    [
        "¿Cuándo abre la oficina de correos?",
        "Когда открывается городская библиотека?",
        "市图书馆的开放时间是什么？",
        "متى تفتح المكتبة العامة أبوابها؟",
        "Belediye kütüphanesi ne zaman açılıyor?",
    ],
)
def test_complete_questions_are_not_changed_in_many_languages(question):
    assert rewrite_follow_up(question, conversation(question, "…", question, "…")) == question
