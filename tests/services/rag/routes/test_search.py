"""Search and question endpoints."""

import json

import pytest

from tests.services.rag.conftest import DATA, PDF

AIRFIELD = "The runway of the old airfield is 1,840 metres long. It was resurfaced in 1997."
BAKERY = "The bakery opens at six. Its rye bread takes two days to make."


@pytest.fixture(scope="module")
def librarian(shared_user):
    """Return a user with two documents. Tests must not change them."""
    ada = shared_user("user-librarian")
    ada.upload(AIRFIELD, "airfield.txt", metadata='{"year": 1997, "tags": ["air", "old"]}')
    ada.upload(BAKERY, "bakery.txt", metadata='{"year": 2020, "open": true}', collection="food")
    return ada


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_every_mode_finds_the_chunk(librarian, mode):
    hit = librarian.search("How long is the runway?", mode=mode)[0]

    assert hit["filename"] == "airfield.txt"
    assert hit["text"] == AIRFIELD
    assert (hit["start"], hit["end"], hit["page"]) == (0, len(AIRFIELD), None)
    assert hit["title"] == "airfield"


def test_search_returns_at_most_k_hits_best_first(librarian):
    results = librarian.search("bread or runway", k=1)

    assert len(results) == 1
    scores = [hit["score"] for hit in librarian.search("bread or runway")]
    assert scores == sorted(scores, reverse=True)


def test_search_returns_sentences_and_term_weights_on_request(librarian):
    question = {"query": "How long is the runway?"}
    response = librarian("POST", "/search", json=question | {"sentences": True}).json

    sentences = response["results"][0]["sentences"]
    assert [AIRFIELD[item["start"] : item["end"]] for item in sentences] == [
        "The runway of the old airfield is 1,840 metres long.",
        "It was resurfaced in 1997.",
    ]
    assert 1 >= sentences[0]["similarity"] > sentences[1]["similarity"]
    assert response["term_weights"].keys() == {"long", "runwai"}
    without = librarian("POST", "/search", json=question).json
    assert without["results"][0]["sentences"] is without["term_weights"] is None
    assert librarian("POST", "/query", json=question | {"sentences": True}).status_code == 422


def test_search_is_limited_to_the_collection(librarian):
    assert {r["filename"] for r in librarian.search("runway", collection="food")} <= {"bakery.txt"}
    missing = librarian("POST", "/search", json={"query": "x", "collection": "none"})
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("search_filter", "filenames"),
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
def test_filter_matches_metadata(librarian, search_filter, filenames):
    results = librarian.search("bread and the runway", filter=search_filter)

    assert {hit["filename"] for hit in results} == filenames


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": "   "},
        {"query": "\u200b\u2060"},
        {"query": "\u2800 \ufe0f"},
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
def test_invalid_search_returns_422(librarian, path, body):
    response = librarian("POST", path, json=body)

    assert (response.status_code, response.json["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("query", ["?", "$$$", "🚀", "%", "SELECT * FROM documents; --", "ไทย"])
def test_search_accepts_any_text(librarian, query):
    for mode in ("hybrid", "dense", "keyword"):
        assert isinstance(librarian.search(query, mode=mode), list)


def test_search_and_query_without_documents_return_nothing(ada):
    assert ada.search("anything") == []
    answer = ada.ask("anything")
    assert answer["citations"] == []
    assert answer["answer"]


def test_answer_states_that_documents_contain_no_answer(librarian):
    answer = librarian.ask("What is the melting point of tungsten?")

    assert answer["citations"] == []
    assert "nothing" in answer["answer"]


def test_streamed_answer_equals_plain_answer(librarian):
    plain = librarian.ask("How long is the runway?")

    response = librarian(
        "POST", "/query", json={"query": "How long is the runway?", "stream": True}
    )

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


def test_accept_header_selects_stream(librarian):
    response = librarian(
        "POST", "/query", json={"query": "runway"}, headers={"Accept": "text/event-stream"}
    )

    assert response.content_type.startswith("text/event-stream")


@pytest.fixture(scope="module")
def pdf_user(shared_user):
    """Return a user with a real PDF."""
    user = shared_user("user-reader")
    user.upload(PDF)
    return user


@pytest.mark.parametrize(
    ("name", "content_type", "question", "expected"),
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
def test_questions_to_other_file_types_are_answered(ada, name, content_type, question, expected):
    assert ada.upload(DATA / name)["content_type"] == content_type

    answer = ada.ask(question)

    assert any(expected in citation["quote"] for citation in answer["citations"])


@pytest.mark.parametrize(
    ("question", "expected", "page"),
    [
        ("Who patented the typewriter in 1868?", "Christopher Latham Sholes", 1),
        ("When was the IBM MT/ST introduced?", "1964", 1),
        ("Which company launched Word for MS-DOS in 1983?", "Microsoft", 1),
    ],
)
def test_answer_from_pdf_cites_the_correct_page(pdf_user, question, expected, page):
    answer = pdf_user.ask(question)

    assert expected in answer["answer"]
    assert any(expected in c["quote"] and c["page"] == page for c in answer["citations"])


def test_follow_up_question_is_completed_from_history(librarian):
    history = [
        {"role": "user", "content": "How long is the runway?"},
        {"role": "assistant", "content": "It is 1,840 metres long. [1]"},
    ]

    answer = librarian.ask("When was it resurfaced?", history=history)

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
def test_invalid_history_returns_422(librarian, history):
    response = librarian("POST", "/query", json={"query": "x", "history": history})

    assert (response.status_code, response.json["code"]) == (422, "validation_failed")
