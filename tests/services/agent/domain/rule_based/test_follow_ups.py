"""Follow-up requests of the agent, and requests with several parts."""

import pytest

from backend.services.agent.domain.rule_based.follow_ups import resolve_follow_up, split_request

WARRANTY = "How long is the warranty of the X-200?"


@pytest.mark.parametrize(
    ("earlier", "request_text", "expected"),
    [
        ("What time is it in Tokyo?", "and in Paris?", "what time is it in Paris?"),
        ("What is 6*7?", "times 2", "(6*7) times 2"),
        ("What is 6*7 and what time is it in Tokyo?", "and Paris?", "what time is it in Paris?"),
        (WARRANTY, "what about the X-300?", "How long is the warranty of the X-300?"),
        (WARRANTY, "Who pays for it?", f"{WARRANTY} Who pays for it?"),
        (WARRANTY, "and who pays?", f"{WARRANTY} and who pays?"),
    ],
)
def test_follow_up_is_completed_with_the_earlier_request(earlier, request_text, expected):
    assert resolve_follow_up(request_text, earlier) == expected


@pytest.mark.parametrize(
    ("earlier", "request_text"),
    [
        ("", "and in Paris?"),
        ("What time is it in Tokyo?", "and in the contract?"),
        ("hello", "what is it?"),
        (WARRANTY, "thanks"),
        (WARRANTY, "What is 2 + 2?"),
        (WARRANTY, "Where do employees park their cars on weekdays?"),
        (WARRANTY, "and " + "further " * 12 + "details?"),
    ],
)
def test_complete_request_is_unchanged(earlier, request_text):
    assert resolve_follow_up(request_text, earlier) == request_text


@pytest.mark.parametrize(
    ("request_text", "parts"),
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
def test_request_is_split_into_independent_parts(request_text, parts):
    assert split_request(request_text) == parts
