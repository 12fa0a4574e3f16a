"""Tests of the rules that map requests to tool calls."""

import pytest

from backend.services.agent.domain.rule_based.rules import match_rule


@pytest.mark.parametrize(
    ("request_text", "tool", "arguments"),
    [
        ("What is 17 * 23?", "calculate", {"expression": "17 * 23"}),
        ("what's 12 plus 30", "calculate", {"expression": "12 + 30"}),
        ("square root of 144", "calculate", {"expression": "sqrt(144)"}),
        ("how much is 15 percent of 80?", "calculate", {"expression": "15/100*80"}),
        ("Please calculate 3 x 4", "calculate", {"expression": "3*4"}),
        ("what time is it?", "current_time", {"timezone": "UTC"}),
        ("What time is it in Tokyo?", "current_time", {"timezone": "Asia/Tokyo"}),
        ("what is the date today", "current_time", {"timezone": "UTC"}),
        ("what is 17 % of 2,430?", "calculate", {"expression": "17/100*2,430"}),
        ("add 5 and 7", "calculate", {"expression": "5 + 7"}),
        ("What is half of 250?", "calculate", {"expression": "1/2*250"}),
        ("10% tip on $45", "calculate", {"expression": "10/100*45"}),
        ("Was ist 6 mal 7?", "calculate", {"expression": "6 * 7"}),
        (
            "Tell me what time it is in Mumbai please",
            "current_time",
            {"timezone": "Asia/Kolkata"},
        ),
        ("time in San Francisco?", "current_time", {"timezone": "America/Los_Angeles"}),
        ("Wie spät ist es in München?", "current_time", {"timezone": "Europe/Berlin"}),
        ("which documents do I have?", "list_documents", {}),
        ("¿Qué documentos tengo?", "list_documents", {}),
        ("Note to self: buy milk", "save_note", {"title": "buy milk", "text": "buy milk"}),
        ("Read https://example.org/a.", "fetch_page", {"url": "https://example.org/a"}),
        ("show doc_4f9a1c2b3d4e", "read_document", {"document_id": "doc_4f9a1c2b3d4e"}),
        ("Remember that tea is at 5", "save_note", {"title": "tea is at 5", "text": "tea is at 5"}),
    ],
)
def test_rule_matches_request(request_text, tool, arguments):
    call = match_rule(request_text)

    assert (call.tool, call.arguments) == (tool, arguments)


@pytest.mark.parametrize(
    "request_text",
    [
        "What was revenue in 2021-2022?",
        "2024-05-01",
        "Explain section 4.2",
        "Is 3/4 inch pipe allowed?",
        "What time does the office open?",
        "What is the date of the agreement?",
        "what is the time in Atlantis?",
        "42",
        "remember when the meeting was held?",
        "What time does the train to Oslo leave?",
        "how many documents does the applicant need to sign",
        "Compare doc_4f9a1c2b3d4e with doc_5f9a1c2b3d4e",
        "1 + 1 " * 100,
    ],
)
def test_no_rule_matches_other_requests(request_text):
    assert match_rule(request_text) is None
