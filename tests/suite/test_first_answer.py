"""The path of a new user: register, upload, ask, and verify the citation in the document."""

import json

import pytest
import requests

from tests.suite.conftest import DATA, PASSWORD, extract_pdf_text, normalize_spaces

pytestmark = pytest.mark.suite
PDF = DATA / "multi_page.pdf"
QUESTION = "Who patented the typewriter in 1868?"


@pytest.fixture(scope="module")
def reader(suite):
    """A user who has uploaded the document."""
    user = suite.register_user("reader")
    user.document = user.upload(PDF)
    return user


def assert_quotes_match(citations, document):
    text = extract_pdf_text(PDF)
    assert citations
    for citation in citations:
        assert citation["document_id"] == document["id"]
        assert citation["filename"] == PDF.name
        assert 1 <= citation["page"] <= 5
        assert normalize_spaces(citation["quote"]) in text


def test_upload_is_ready_with_pages_and_chunks(reader):
    document = reader.document

    assert document["status"] == "ready"
    assert (document["pages"], document["content_type"]) == (5, "application/pdf")
    assert document["chunks"] > 1


def test_rag_query_is_answered_with_citations(reader):
    answer = reader("POST", "/rag/query", json={"query": QUESTION}).json()

    assert "Sholes" in answer["answer"]
    assert_quotes_match(answer["citations"], reader.document)


def test_agent_answers_from_the_document_without_a_model(reader):
    answer = reader("POST", "/agent/query", json={"user_request": QUESTION}).json()

    assert "Sholes" in answer["response"]
    assert_quotes_match(answer["citations"], reader.document)
    assert [step["status"] for step in answer["steps"]] == ["ok"]
    assert answer["session_id"]


def test_agent_streams_its_answer(reader):
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


def test_offsets_of_search_results_match_the_chunks(reader):
    chunks = reader("GET", f"/rag/documents/{reader.document['id']}/chunks").json()["items"]
    result = reader("POST", "/rag/search", json={"query": QUESTION, "k": 1}).json()["results"][0]

    chunk = next(item for item in chunks if item["start"] == result["start"])
    assert chunk["text"] == result["text"]
    assert len(chunk["text"]) == chunk["end"] - chunk["start"]


def test_question_without_relevant_document_gets_no_citations(reader):
    answer = reader(
        "POST", "/rag/query", json={"query": "What is the melting point of tungsten?"}
    ).json()

    assert answer["citations"] == []


def test_users_do_not_see_documents_of_others(reader, bob):
    path = f"/rag/documents/{reader.document['id']}"

    for method, suffix in [("GET", ""), ("GET", "/content"), ("GET", "/chunks"), ("DELETE", "")]:
        foreign = bob(method, path + suffix)
        unknown = bob(method, "/rag/documents/doc_unknown" + suffix)
        assert (foreign.status_code, unknown.status_code) == (404, 404)
        assert foreign.json()["code"] == unknown.json()["code"]
    assert bob("GET", "/rag/documents").json()["items"] == []
    assert bob("POST", "/rag/search", json={"query": QUESTION}).json()["results"] == []
    assert bob("POST", "/agent/query", json={"user_request": QUESTION}).json()["citations"] == []


def test_deleted_document_is_not_found_anywhere(ada):
    document = ada.upload(PDF)
    assert ada("POST", "/rag/search", json={"query": QUESTION}).json()["results"]

    assert ada("DELETE", f"/rag/documents/{document['id']}").status_code == 204

    assert ada("POST", "/rag/search", json={"query": QUESTION}).json()["results"] == []
    assert ada("GET", f"/rag/documents/{document['id']}").status_code == 404
    assert ada("GET", f"/rag/documents/{document['id']}/content").status_code == 404


def test_token_is_rejected_by_every_service_after_logout(suite):
    user = suite.register_user()
    assert user("GET", "/rag/documents").status_code == 200

    assert user("POST", "/auth/logout").status_code == 204

    for port, path in [("auth", "/me"), ("rag", "/documents"), ("agent", "/sessions")]:
        direct = user.session.get(f"http://127.0.0.1:{suite.ports[port]}{path}", timeout=10)
        assert direct.status_code == 401, path


def test_login_and_refresh_return_new_tokens(suite, ada):
    name = ada.account["user"]["username"]
    login = requests.post(
        f"{suite.url}/auth/login", json={"username": name, "password": PASSWORD}, timeout=10
    ).json()
    refreshed = requests.post(
        f"{suite.url}/auth/refresh", json={"refresh_token": login["refresh_token"]}, timeout=10
    ).json()

    assert refreshed["refresh_token"] != login["refresh_token"]
    me = requests.get(
        f"{suite.url}/auth/me",
        headers={"Authorization": f"Bearer {refreshed['access_token']}"},
        timeout=10,
    ).json()
    assert me["username"] == name
    assert me["roles"] == ["user"]


def test_tables_are_migrated_before_the_services_start(suite):
    if "DATABASE_URL" in suite.environment:
        pytest.skip("the template of the PostgreSQL databases has the tables already")
    log = (suite.folder / "logs" / "migrations.log").read_text()
    messages = [json.loads(line)["message"] for line in log.splitlines()]

    assert {message.split(":")[0] for message in messages} >= {"auth", "agent", "rag"}
