"""A request in the light of the one before it, and in its parts."""

import pytest

from backend.services.agent.domain.requests import in_context, parts

WARRANTY = "How long is the warranty of the X-200?"


@pytest.mark.parametrize(
    ("earlier", "request_text", "meant"),
    [
        ("What time is it in Tokyo?", "and in Paris?", "what time is it in Paris?"),
        ("What is 6*7?", "times 2", "(6*7) times 2"),
        ("What is 6*7 and what time is it in Tokyo?", "and Paris?", "what time is it in Paris?"),
        (WARRANTY, "what about the X-300?", f"{WARRANTY} what about the X-300?"),
        (WARRANTY, "Who pays for it?", f"{WARRANTY} Who pays for it?"),
    ],
)
def test_what_a_follow_up_leaves_unsaid_is_added(earlier, request_text, meant):
    assert in_context(request_text, earlier) == meant


@pytest.mark.parametrize(
    ("earlier", "request_text"),
    [
        ("", "and in Paris?"),
        ("What time is it in Tokyo?", "and in the contract?"),
        ("hello", "what is it?"),
        (WARRANTY, "thanks"),
        (WARRANTY, "What is 2 + 2?"),
        (WARRANTY, "Where do employees park their cars on weekdays?"),
    ],
)
def test_what_stands_alone_is_left_alone(earlier, request_text):
    assert in_context(request_text, earlier) == request_text


@pytest.mark.parametrize(
    ("request_text", "found"),
    [
        (
            "What is 17% of 2430 and what time is it in Tokyo?",
            ["What is 17% of 2430", "what time is it in Tokyo?"],
        ),
        ("hi! what is 2+2? Thanks a lot!", ["what is 2+2?"]),
        ("What is 6*7? How long is the warranty?", ["What is 6*7?", "How long is the warranty?"]),
        ("Who signed it and who paid?", ["Who signed it and who paid?"]),
        ("What do salt and pepper cost?", ["What do salt and pepper cost?"]),
        ("multiply 12 and 9", ["multiply 12 and 9"]),
    ],
)
def test_parts_that_can_stand_alone_are_told_apart(request_text, found):
    assert parts(request_text) == found
