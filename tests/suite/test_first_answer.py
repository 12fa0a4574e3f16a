"""From a registration to an answer whose citation stands in the document."""

import json

import pytest
import requests

from tests.suite.conftest import DATA, PASSWORD, even, extracted

pytestmark = pytest.mark.suite
PDF = DATA / "multi_page.pdf"
QUESTION = "Who patented the typewriter in 1868?"


@pytest.fixture(scope="module")
def reader(suite):
    """Somebody who has uploaded the document."""
    person = suite.person("reader")
    person.document = person.upload(PDF)
    return person


def quotes_stand_in_the_document(citations, document):
    text = extracted(PDF)
    assert citations
    for citation in citations:
        assert citation["document_id"] == document["id"]
        assert citation["filename"] == PDF.name
        assert 1 <= citation["page"] <= 5
        assert even(citation["quote"]) in text


def test_the_upload_is_ready_with_its_pages_and_chunks(reader):
    document = reader.document

    assert document["status"] == "ready"
    assert (document["pages"], document["content_type"]) == (5, "application/pdf")
    assert document["chunks"] > 1


def test_a_question_to_the_library_is_answered_with_citations(reader):
    answer = reader("POST", "/rag/query", json={"query": QUESTION}).json()

    assert "Sholes" in answer["answer"]
    quotes_stand_in_the_document(answer["citations"], reader.document)


def test_the_agent_answers_from_the_document_without_any_key(reader):
    answer = reader("POST", "/agent/query", json={"user_request": QUESTION}).json()

    assert "Sholes" in answer["response"]
    quotes_stand_in_the_document(answer["citations"], reader.document)
    assert [step["status"] for step in answer["steps"]] == ["ok"]
    assert answer["session_id"]


def test_the_agent_streams_its_answer(reader):
    with reader(
        "POST", "/agent/query", json={"user_request": QUESTION, "stream": True}, stream=True
    ) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        events = parse_events(response)

    names = [name for name, _ in events]
    assert names[0] == "session"
    assert names[-1] == "done"
    assert {"tool_start", "tool_end", "token", "citations"} <= set(names)
    tokens = "".join(data["text"] for name, data in events if name == "token")
    assert tokens == events[-1][1]["response"]


def parse_events(response):
    events = []
    for block in response.content.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        if "event" in fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


def test_offsets_point_at_the_quote_in_the_text_of_the_chunks(reader):
    chunks = reader("GET", f"/rag/documents/{reader.document['id']}/chunks").json()["items"]
    result = reader("POST", "/rag/search", json={"query": QUESTION, "k": 1}).json()["results"][0]

    chunk = next(each for each in chunks if each["start"] == result["start"])
    assert chunk["text"] == result["text"]
    assert len(chunk["text"]) == chunk["end"] - chunk["start"]


def test_what_no_document_says_is_not_made_up(reader):
    answer = reader(
        "POST", "/rag/query", json={"query": "What is the melting point of tungsten?"}
    ).json()

    assert answer["citations"] == []


def test_two_users_never_see_each_others_documents(reader, bob):
    path = f"/rag/documents/{reader.document['id']}"

    for method, suffix in [("GET", ""), ("GET", "/content"), ("GET", "/chunks"), ("DELETE", "")]:
        foreign = bob(method, path + suffix)
        unknown = bob(method, "/rag/documents/doc_unknown" + suffix)
        assert (foreign.status_code, unknown.status_code) == (404, 404)
        assert foreign.json()["code"] == unknown.json()["code"]
    assert bob("GET", "/rag/documents").json()["items"] == []
    assert bob("POST", "/rag/search", json={"query": QUESTION}).json()["results"] == []
    assert bob("POST", "/agent/query", json={"user_request": QUESTION}).json()["citations"] == []


def test_a_deleted_document_is_gone_everywhere_at_once(ada):
    document = ada.upload(PDF)
    assert ada("POST", "/rag/search", json={"query": QUESTION}).json()["results"]

    assert ada("DELETE", f"/rag/documents/{document['id']}").status_code == 204

    assert ada("POST", "/rag/search", json={"query": QUESTION}).json()["results"] == []
    assert ada("GET", f"/rag/documents/{document['id']}").status_code == 404
    assert ada("GET", f"/rag/documents/{document['id']}/content").status_code == 404


def test_after_logout_no_service_lets_the_token_in(suite):
    person = suite.person()
    assert person("GET", "/rag/documents").status_code == 200

    assert person("POST", "/auth/logout").status_code == 204

    for port, path in [("auth", "/me"), ("rag", "/documents"), ("agent", "/sessions")]:
        direct = person.session.get(f"http://127.0.0.1:{suite.ports[port]}{path}", timeout=10)
        assert direct.status_code == 401, path


def test_login_and_refresh_give_new_tokens(suite, ada):
    name = ada.account["user"]["username"]
    login = requests.post(
        f"{suite.url}/auth/login", json={"username": name, "password": PASSWORD}, timeout=10
    ).json()
    again = requests.post(
        f"{suite.url}/auth/refresh", json={"refresh_token": login["refresh_token"]}, timeout=10
    ).json()

    assert again["refresh_token"] != login["refresh_token"]
    me = requests.get(
        f"{suite.url}/auth/me",
        headers={"Authorization": f"Bearer {again['access_token']}"},
        timeout=10,
    ).json()
    assert me["username"] == name
    assert me["roles"] == ["user"]
