"""The embedded tier with the real embedding model: what it chooses, quotes and refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from backend.ai.embedding import Embedder
from backend.services.agent.clients.mind import Answered, Offered
from backend.services.agent.clients.runs import Passage
from backend.services.agent.domain.lite import SEARCH, LiteMind
from backend.services.agent.domain.tools import tools

CACHE = Path(__file__).parents[4] / ".cache"

HANDBOOK = (
    "Working Hours\n\nThe office opens at nine in the morning. Every employee has 28 days of paid "
    "holiday a year. Unused days may be taken until the end of March. Expenses are paid back "
    "within two weeks of the claim. Dr. Okafor leads the research group in Lagos. The canteen "
    "serves vegetarian food on Thursdays."
)


@pytest.fixture(scope="module")
def mind():
    return LiteMind(Embedder(CACHE, threads=1))


@pytest.fixture(scope="module")
def offered():
    return [
        Offered(tool.name, tool.description, tool.arguments.schema, tool.examples)
        for tool in tools(library=None, now=None, web=None)
    ]


@pytest.mark.parametrize(
    ("request_text", "tool"),
    [
        ("Which documents do I have?", "list_documents"),
        ("show my files", "list_documents"),
        ("How many documents are in my library?", "list_documents"),
        ("What does the lease say about pets?", SEARCH),
        ("Who wrote the report?", SEARCH),
        ("summarise the handbook", SEARCH),
        ("What time does the office open?", SEARCH),
        ("Is 3/4 inch pipe allowed?", SEARCH),
        ("What is the weather in Paris?", SEARCH),
        ("What is 6 * 7?", "calculate"),
        ("What time is it in Lagos?", "current_time"),
        ("Remember that the key is under the mat", "save_note"),
    ],
)
def test_the_tool_is_the_one_a_person_would_choose(mind, offered, request_text, tool):
    assert [each.tool for each in mind.choose(request_text, offered)] == [tool]


def test_each_part_of_a_request_gets_its_tool(mind, offered):
    chosen = mind.choose("What is 6 * 7, and what time is it in Lagos?", offered)

    assert [each.tool for each in chosen] == ["calculate", "current_time"]


@pytest.mark.parametrize("greeting", ["Hello", "hi!", "Thank you", "What can you do for me?"])
def test_small_talk_needs_no_tool(mind, offered, greeting):
    assert not mind.choose(greeting, offered)
    assert mind.say(greeting, [])


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
def test_a_question_is_answered_in_the_documents_words(mind, question, answer):
    assert answer in mind.say(question, [found()])


@pytest.mark.parametrize(
    "question",
    [
        "Who won the chess tournament in Reykjavik?",
        "What is the boiling point of tungsten?",
        "How do I reset my password?",
    ],
)
def test_what_the_documents_do_not_say_is_not_said(mind, question):
    assert "found nothing" in mind.say(question, [found()])


def test_a_follow_up_is_answered_by_its_own_words(mind):
    search = replace(found(), arguments={"query": "When does the office open? And the canteen?"})

    assert "canteen" in mind.say("And the canteen?", [search])
    assert "nine" not in mind.say("And the canteen?", [search])


def test_a_percentage_reads_as_it_was_asked(mind):
    sum_ = Answered("calculate", {}, "17/100*2,430 = 413.1", (), failed=False)

    assert mind.say("what is 17 % of 2,430?", [sum_]) == "17 % of 2,430 = 413.1"


def passage(filename: str, text: str) -> Passage:
    return Passage(filename, filename, None, 0, len(text), text)


def test_a_row_of_a_table_is_an_answer(mind):
    table = "Team\tLocation\tStanley Cups\nBlues\tSTL\t1\nFlyers\tPHI\t2\nMaple Leafs\tTOR\t13"
    found = Answered(
        SEARCH,
        {"query": "How many Stanley Cups did the Maple Leafs win?"},
        table,
        [passage("cups.xlsx", table)],
        failed=False,
    )

    assert "Maple Leafs TOR 13" in mind.say(found.arguments["query"], [found])


def test_the_file_that_is_named_is_the_one_summed_up(mind):
    found = Answered(
        SEARCH,
        {"query": "Summarise handbook-1p.docx"},
        "",
        [
            passage("other.docx", "Ferries leave at dawn. They return at dusk."),
            passage("handbook-1p.docx", "Trams leave at noon. They return at night."),
        ],
        failed=False,
    )

    said = mind.say("Summarise handbook-1p.docx", [found])

    assert said.startswith("Trams leave at noon.")


def test_a_heading_is_no_answer(mind):
    assert "Working Hours" not in mind.say("What are the working hours?", [found()])


def test_every_word_comes_from_the_document(mind):
    said = mind.say("How many days of holiday are there, and until when?", [found()])

    flat = " ".join(HANDBOOK.split())
    assert all(sentence.strip(" .") in flat for sentence in said.split(". "))


def found():
    passage = Passage("doc_1", "handbook.md", None, 0, len(HANDBOOK), HANDBOOK)
    return Answered(SEARCH, {}, "", [passage], failed=False)
