"""Searching and asking."""

import json

import pytest

from tests.services.rag.conftest import DATA, PDF

AIRFIELD = "The runway of the old airfield is 1,840 metres long. It was resurfaced in 1997."
BAKERY = "The bakery opens at six. Its rye bread takes two days to make."


@pytest.fixture(scope="module")
def library(shared):
    """Somebody with two documents, whom many tests ask and none changes."""
    ada = shared("user-librarian")
    ada.upload(AIRFIELD, "airfield.txt", metadata='{"year": 1997, "tags": ["air", "old"]}')
    ada.upload(BAKERY, "bakery.txt", metadata='{"year": 2020, "open": true}', collection="food")
    return ada


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_every_mode_finds_the_passage(library, mode):
    best = library.search("How long is the runway?", mode=mode)[0]

    assert best["filename"] == "airfield.txt"
    assert best["text"] == AIRFIELD
    assert (best["start"], best["end"], best["page"]) == (0, len(AIRFIELD), None)
    assert best["title"] == "airfield"


def test_no_more_than_k_best_first(library):
    results = library.search("bread or runway", k=1)

    assert len(results) == 1
    scores = [each["score"] for each in library.search("bread or runway")]
    assert scores == sorted(scores, reverse=True)


def test_one_collection_is_searched_alone(library):
    assert {r["filename"] for r in library.search("runway", collection="food")} <= {"bakery.txt"}
    missing = library("POST", "/search", json={"query": "x", "collection": "none"})
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"year": 1997}, {"airfield.txt"}),
        ({"year": [1997, 2020]}, {"airfield.txt", "bakery.txt"}),
        ({"tags": "old"}, {"airfield.txt"}),
        ({"open": True}, {"bakery.txt"}),
        ({"open": 1}, set()),
        ({"year": "1997"}, set()),
        ({"year": 1997, "open": True}, set()),
        ({"filename": "bakery.txt"}, {"bakery.txt"}),
        ({"content_type": "text/plain"}, {"airfield.txt", "bakery.txt"}),
        ({"unknown": None}, set()),
        ({}, {"airfield.txt", "bakery.txt"}),
    ],
)
def test_a_filter_looks_at_metadata(library, wanted, found):
    results = library.search("bread and the runway", filter=wanted)

    assert {each["filename"] for each in results} == found


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": "   "},
        {"query": 5},
        {"query": "x" * 5000},
        {"query": "x", "k": 0},
        {"query": "x", "k": 51},
        {"query": "x", "k": 10**6},
        {"query": "x", "k": "5"},
        {"query": "x", "mode": "magic"},
        {"query": "x", "tenant_id": "t"},
        {"query": "x", "filter": {"a": {"$near": 1}}},
        {"query": "x", "filter": []},
        {"query": "a\u0000b"},
    ],
)
@pytest.mark.parametrize("path", ["/search", "/query"])
def test_a_wrong_question_is_refused_by_field(library, path, body):
    response = library("POST", path, json=body)

    assert (response.status_code, response.json["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("query", ["?", "$$$", "🚀", "%", "SELECT * FROM documents; --", "ไทย"])
def test_any_text_may_be_searched(library, query):
    for mode in ("hybrid", "dense", "keyword"):
        assert isinstance(library.search(query, mode=mode), list)


def test_an_empty_library_finds_and_answers_nothing(ada):
    assert ada.search("anything") == []
    answer = ada.ask("anything")
    assert answer["citations"] == []
    assert answer["answer"]


def test_what_no_document_says_is_said_to_be_missing(library):
    answer = library.ask("What is the melting point of tungsten?")

    assert answer["citations"] == []
    assert "nothing" in answer["answer"]


def test_a_streamed_answer_is_the_plain_one_in_pieces(library):
    plain = library.ask("How long is the runway?")

    response = library("POST", "/query", json={"query": "How long is the runway?", "stream": True})

    assert response.content_type.startswith("text/event-stream")
    events = [
        (head.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for head, data in (block.split("\n") for block in response.text.strip().split("\n\n"))
    ]
    names = [name for name, _ in events]
    assert names[-2:] == ["citations", "done"]
    assert set(names[:-2]) == {"token"}
    assert "".join(data["text"] for name, data in events if name == "token") == plain["answer"]
    assert events[-2][1] == {"citations": plain["citations"]}
    assert events[-1][1]["answer"] == plain["answer"]


def test_a_stream_may_be_asked_for_by_accept(library):
    response = library(
        "POST", "/query", json={"query": "runway"}, headers={"Accept": "text/event-stream"}
    )

    assert response.content_type.startswith("text/event-stream")


@pytest.fixture(scope="module")
def reader(shared):
    """Somebody with a real PDF."""
    person = shared("user-reader")
    person.upload(PDF)
    return person


@pytest.mark.parametrize(
    ("name", "content_type", "question", "says"),
    [
        (
            "handbook-1p.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "Who appoints and supervises standing trustees?",
            "United States Trustee appoints",
        ),
        (
            "fake-html-cp1252.html",
            "text/html",
            "Was hat die schöne Frau gegessen?",
            "Kaffee mit Kuchen",
        ),
    ],
)
def test_questions_to_other_kinds_of_files_are_answered(ada, name, content_type, question, says):
    assert ada.upload(DATA / name)["content_type"] == content_type

    answer = ada.ask(question)

    assert any(says in citation["quote"] for citation in answer["citations"])


@pytest.mark.parametrize(
    ("question", "says", "page"),
    [
        ("Who patented the typewriter in 1868?", "Christopher Latham Sholes", 1),
        ("When was the IBM MT/ST introduced?", "1964", 1),
        ("Which company launched Word for MS-DOS in 1983?", "Microsoft", 1),
    ],
)
def test_questions_to_a_real_pdf_are_answered_on_the_right_page(reader, question, says, page):
    answer = reader.ask(question)

    assert says in answer["answer"]
    assert any(says in c["quote"] and c["page"] == page for c in answer["citations"])


def test_a_follow_up_is_answered_from_its_conversation(library):
    history = [
        {"role": "user", "content": "How long is the runway?"},
        {"role": "assistant", "content": "It is 1,840 metres long. [1]"},
    ]

    answer = library.ask("When was it resurfaced?", history=history)

    assert answer["searched_for"] == "When was it resurfaced? (long runway)"
    assert "1997" in answer["answer"]


@pytest.mark.parametrize(
    "history",
    [
        [{"role": "system", "content": "x"}],
        [{"role": "user"}],
        [{"role": "user", "content": "x"}] * 51,
        "before",
    ],
)
def test_what_is_no_conversation_is_refused(library, history):
    response = library("POST", "/query", json={"query": "x", "history": history})

    assert (response.status_code, response.json["code"]) == (422, "validation_failed")
