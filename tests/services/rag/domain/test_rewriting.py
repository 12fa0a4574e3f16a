"""Follow-ups, completed from what was said before."""

import pytest

from backend.services.rag.domain.rewriting import MOST_CHARACTERS, Turn, stand_alone


def said(*turns):
    roles = ("user", "assistant")
    return [Turn(roles[n % 2], each) for n, each in enumerate(turns)]


POOL = said("When does the pool open in summer?", "It opens at nine.")


@pytest.mark.parametrize(
    ("question", "history", "searched"),
    [
        ("When is the town hall open?", [], "When is the town hall open?"),
        ("And in winter?", POOL, "When does the pool open in winter?"),
        ("What about the sauna?", POOL, "When does the sauna open in summer?"),
        ("When is the town hall open?", POOL, "When is the town hall open?"),
        (
            "How much does it cost?",
            said("Where is the museum of glass?", "In Murano."),
            "How much does it cost? (museum glass)",
        ),
        (
            "When was she born?",
            said("Who founded the bakery?", "Greta Sommer founded it in 1921. [1]"),
            "When was she born? (Greta Sommer founded bakery)",
        ),
        (
            "Und im Winter?",
            said("Wann öffnet das Freibad im Sommer?", "Um neun."),
            "Wann öffnet das Freibad im Winter?",
        ),
    ],
)
def test_what_is_left_out_comes_from_the_turns_before(question, history, searched):
    assert stand_alone(question, history) == searched


def test_follow_ups_of_follow_ups_keep_the_topic():
    history = said("When does the pool open in summer?", "At nine.", "And in winter?", "At ten.")

    assert stand_alone("What about the sauna?", history) == "When does the sauna open in winter?"


def test_long_turns_lend_little():
    history = said("why " * 3000 + "pool", "so " * 3000)
    question = "and how much does it cost? " * 100

    assert len(stand_alone(question, history)) <= len(question) + MOST_CHARACTERS
