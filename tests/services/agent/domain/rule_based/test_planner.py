"""Tests of the rule-based planner with the real embedding model."""

from dataclasses import replace
from pathlib import Path

import pytest

from backend.ai.embedding import BuiltInEmbedder
from backend.services.agent.domain.rule_based.planner import RuleBasedPlanner
from backend.services.agent.engine.chat_models.planner import CompletedToolCall, OfferedTool
from backend.services.agent.model import Chunk
from backend.services.agent.tools.documents import SEARCH_DOCUMENTS
from backend.services.agent.tools.factory import create_tools

CACHE = Path(__file__).parents[5] / ".cache"

HANDBOOK = (
    "Working Hours\n\nThe office opens at nine in the morning. Every employee has 28 days of paid "
    "holiday a year. Unused days may be taken until the end of March. Expenses are paid back "
    "within two weeks of the claim. Dr. Okafor leads the research group in Lagos. The canteen "
    "serves vegetarian food on Thursdays."
)


@pytest.fixture(scope="module")
def planner():
    return RuleBasedPlanner(BuiltInEmbedder(threads=1))


@pytest.fixture(scope="module")
def offered():
    return [
        OfferedTool(tool.name, tool.description, tool.arguments.json_schema, tool.examples)
        for tool in create_tools(rag=None, now=None, page_fetcher=None)
    ]


@pytest.mark.parametrize(
    ("request_text", "tool"),
    [
        ("Which documents do I have?", "list_documents"),
        ("show my files", "list_documents"),
        ("How many documents are in my library?", "list_documents"),
        ("What does the lease say about pets?", SEARCH_DOCUMENTS),
        ("Who wrote the report?", SEARCH_DOCUMENTS),
        ("summarise the handbook", SEARCH_DOCUMENTS),
        ("What time does the office open?", SEARCH_DOCUMENTS),
        ("Is 3/4 inch pipe allowed?", SEARCH_DOCUMENTS),
        ("What is the weather in Paris?", SEARCH_DOCUMENTS),
        ("What is 6 * 7?", "calculate"),
        ("What time is it in Lagos?", "current_time"),
        ("Remember that the key is under the mat", "save_note"),
    ],
)
def test_planner_chooses_the_expected_tool(planner, offered, request_text, tool):
    assert [call.tool for call in planner.choose_tool_calls(request_text, offered)] == [tool]


def test_each_part_of_a_request_gets_a_tool_call(planner, offered):
    calls = planner.choose_tool_calls("What is 6 * 7, and what time is it in Lagos?", offered)

    assert [call.tool for call in calls] == ["calculate", "current_time"]


@pytest.mark.parametrize("greeting", ["Hello", "hi!", "Thank you", "What can you do for me?"])
def test_small_talk_is_answered_without_tools(planner, offered, greeting):
    assert not planner.choose_tool_calls(greeting, offered)
    assert planner.compose_answer(greeting, [])


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How much vacation do employees get?", "28 days"),
        ("When does the office open?", "nine in the morning"),
        ("Who is the head of research?", "Dr. Okafor"),
        ("How long does it take until expenses are reimbursed?", "two weeks"),
        ("What is this handbook about?", "Working Hours"),
    ],
)
def test_question_is_answered_with_text_of_the_document(planner, question, answer):
    assert answer in planner.compose_answer(question, [create_search_result()])


@pytest.mark.parametrize(
    "question",
    [
        "Who won the chess tournament in Reykjavik?",
        "What is the boiling point of tungsten?",
        "How do I reset my password?",
    ],
)
def test_question_without_answer_in_the_documents_is_not_answered(planner, question):
    assert "found nothing" in planner.compose_answer(question, [create_search_result()])


def test_words_of_the_follow_up_select_its_answer(planner):
    search = replace(
        create_search_result(), arguments={"query": "When does the office open? And the canteen?"}
    )

    assert "canteen" in planner.compose_answer("And the canteen?", [search])
    assert "nine" not in planner.compose_answer("And the canteen?", [search])


def test_percentage_is_formatted_as_in_the_request(planner):
    calculation = CompletedToolCall("calculate", {}, "17/100*2,430 = 413.1", (), failed=False)

    assert (
        planner.compose_answer("what is 17 % of 2,430?", [calculation]) == "17 % of 2,430 = 413.1"
    )


def create_chunk(filename: str, text: str) -> Chunk:
    return Chunk(filename, filename, None, 0, len(text), text)


def test_table_row_is_an_answer(planner):
    table = "Team\tLocation\tStanley Cups\nBlues\tSTL\t1\nFlyers\tPHI\t2\nMaple Leafs\tTOR\t13"
    search = CompletedToolCall(
        SEARCH_DOCUMENTS,
        {"query": "How many Stanley Cups did the Maple Leafs win?"},
        table,
        [create_chunk("cups.xlsx", table)],
        failed=False,
    )

    answer = planner.compose_answer(search.arguments["query"], [search])

    assert answer == "Team: Maple Leafs; Location: TOR; Stanley Cups: 13."


def test_summary_is_of_the_named_file(planner):
    search = CompletedToolCall(
        SEARCH_DOCUMENTS,
        {"query": "Summarise handbook-1p.docx"},
        "",
        [
            create_chunk("other.docx", "Ferries leave at dawn. They return at dusk."),
            create_chunk("handbook-1p.docx", "Trams leave at noon. They return at night."),
        ],
        failed=False,
    )

    answer = planner.compose_answer("Summarise handbook-1p.docx", [search])

    assert answer.startswith("Trams leave at noon.")


def test_heading_is_not_an_answer(planner):
    assert "Working Hours" not in planner.compose_answer(
        "What are the working hours?", [create_search_result()]
    )


def test_answer_consists_of_document_text(planner):
    answer = planner.compose_answer(
        "How many days of holiday are there, and until when?", [create_search_result()]
    )

    handbook = " ".join(HANDBOOK.split())
    assert all(sentence.strip(" .") in handbook for sentence in answer.split(". "))


def create_search_result():
    chunk = Chunk("doc_1", "handbook.md", None, 0, len(HANDBOOK), HANDBOOK)
    return CompletedToolCall(SEARCH_DOCUMENTS, {}, "", [chunk], failed=False)


def test_failed_calculation_is_explained_in_words(planner):
    failed = CompletedToolCall(
        "calculate", {"expression": "1 / 0"}, "Division by zero is undefined.", [], failed=True
    )

    assert planner.compose_answer("What is 1 divided by 0?", [failed]) == (
        "I cannot calculate this. Division by zero is undefined."
    )


def test_failed_tool_is_stated_without_its_name(planner):
    failed = CompletedToolCall(
        "get_package", {"package": "ORDER-77"}, "There is no package ORDER-77.", [], failed=True
    )

    assert planner.compose_answer("Where is ORDER-77?", [failed]) == (
        "I could not do this. There is no package ORDER-77."
    )
