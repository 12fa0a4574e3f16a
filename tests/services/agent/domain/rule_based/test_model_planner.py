"""Decisions of the planner of a small language model."""

import pytest

from backend.services.agent.domain.rule_based.model_planner import SmallModelPlanner
from backend.services.agent.engine.chat_models.planner import CompletedToolCall, OfferedTool
from backend.services.agent.model import Chunk
from tests.services.agent.fakes import WordEmbedder

OWN_TOOLS = [
    OfferedTool(name, "", {})
    for name in ("search_documents", "list_documents", "read_document", "calculate")
]
MESSAGE_TOOL = OfferedTool("send_message", "Send a message to a person.", {})
BOAT = "The boat Aurora was built in Bergen in 1931."


@pytest.fixture
def planner():
    return SmallModelPlanner(WordEmbedder())


def build_chunk(text, filename="boats.md", document_id="doc_1"):
    return Chunk(document_id, filename, None, 0, len(text), text)


def build_search(query, *chunks):
    ids = [chunk.document_id for chunk in chunks]
    return CompletedToolCall("search_documents", {"query": query}, "", chunks, False, {}, ids)


def build_read(part, part_count):
    arguments = {"document_id": "doc_1", "part": part}
    content = f"Part {part} of {part_count}:\n{BOAT}"
    return CompletedToolCall("read_document", arguments, content, [build_chunk(BOAT)], False)


def choose_calls(planner, request, *completed, previous="", tools=OWN_TOOLS, kind="summary"):
    calls = planner.choose_document_calls(kind, request, previous, completed, tools)
    return [(call.tool, dict(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("request_", "previous", "call"),
    [
        ("Summarise the document", "", ("list_documents", {})),
        ("Fasse das Dokument zusammen", "", ("list_documents", {})),
        ("Summarize the newest report", "", ("list_documents", {})),
    ],
)
def test_newest_document_is_summarized_without_a_subject(planner, request_, previous, call):
    assert choose_calls(planner, request_, previous=previous) == [call]


@pytest.mark.parametrize(
    ("request_", "previous"),
    [
        ("Summarise the document about the boat Aurora", ""),
        ("Summarise it", "Who built the boat Aurora?"),
    ],
)
def test_document_of_a_summary_is_searched_by_its_subject(planner, request_, previous):
    ((tool, arguments),) = choose_calls(planner, request_, previous=previous)

    assert tool == "search_documents"
    assert "Aurora" in arguments["query"]


def test_found_document_is_read(planner):
    search = build_search("the boat Aurora", build_chunk(BOAT))

    calls = choose_calls(planner, "Summarise the text about the boat Aurora", search)

    assert calls == [("read_document", {"document_id": "doc_1", "part": 1})]


def test_document_named_by_its_file_is_read(planner):
    other = build_chunk("Bread is baked early.", "bread.md", "doc_2")
    search = build_search("boats.md", other, build_chunk(BOAT))

    ((_, arguments),) = choose_calls(planner, "Summarise boats.md", search)

    assert arguments["document_id"] == "doc_1"


def test_unrelated_document_is_not_read(planner):
    search = build_search("quantum cryptography", build_chunk(BOAT))

    assert choose_calls(planner, "Summarise the thesis on quantum cryptography", search) == []


@pytest.mark.parametrize(("part_count", "parts"), [(1, []), (3, [2, 3]), (21, [5, 9, 13, 17, 21])])
def test_further_parts_are_read_evenly(planner, part_count, parts):
    calls = choose_calls(planner, "Summarise the document", build_read(1, part_count))

    assert [arguments["part"] for _, arguments in calls] == parts


def test_reading_ends_after_the_further_parts(planner):
    reads = [build_read(part, 2) for part in (1, 2)]

    assert choose_calls(planner, "Summarise the document", *reads) == []


def test_no_document_is_read_without_the_tools(planner):
    assert choose_calls(planner, "Summarise the document", tools=OWN_TOOLS[:1]) == []


def test_text_about_documents_is_preceded_by_one_search(planner):
    request = "Draft an email about our boat"

    calls = choose_calls(planner, request, kind="document writing")
    further = choose_calls(
        planner, request, build_search(request, build_chunk(BOAT)), kind="document writing"
    )

    assert calls == [("search_documents", {"query": request})]
    assert further == []


def test_model_chooses_among_similar_tools_of_others(planner):
    tools = [*OWN_TOOLS, MESSAGE_TOOL]

    assert planner.select_model_tools("send a message to Bo", tools, required=False) == [
        MESSAGE_TOOL
    ]
    assert planner.select_model_tools("qwxz", tools, required=False) == []
    assert planner.select_model_tools("qwxz", tools, required=True) == [MESSAGE_TOOL]
    assert planner.select_model_tools("send a message to Bo", OWN_TOOLS, required=False) == []


def test_passages_in_another_language_count_as_related(planner):
    german = build_search("Wo wurde das Schiff gebaut?", build_chunk(BOAT))
    english = build_search("How is cheese made by monks?", build_chunk(BOAT))

    assert planner.direct_answer("Wo wurde das Schiff gebaut?", [german]) is None
    assert planner.direct_answer("How is cheese made by monks?", [english]) is not None
