"""One request is one trace across all processes that handle it."""

import json

import pytest

from tests.databases import selected_vector_store
from tests.servers import wait_until
from tests.suite.conftest import DATA

pytestmark = pytest.mark.suite

TRACE = "5b8efff798038103d269b633813fc60c"
QUESTION_SPANS = (
    ("gateway", "POST agent"),
    ("agent-service", "POST /query"),
    ("agent-service", "invoke_agent embedded-lite"),
    ("agent-service", "execute_tool search_documents"),
    ("agent-service", "POST"),
    ("rag-service", "POST /search"),
)


UPLOAD = "6c0f9fe00899149213ae47a744924b71"
STAGES = ("extract", "chunk", "embed", "index")


@pytest.fixture
def vector_store() -> str:
    return selected_vector_store() or "chroma"


@pytest.fixture
def worker(vector_store) -> str:
    """Name of the process that processes documents."""
    # Embedded Qdrant supports one process only, so the service itself processes documents.
    return "rag-service" if vector_store == "qdrant" else "rag-worker"


def test_upload_is_one_trace_from_the_gateway_to_the_worker(suite, collector, vector_store, worker):
    # Each span is the parent of the next one; the stages are siblings.
    chain = (
        ("gateway", "POST rag"),
        ("rag-service", "POST /documents"),
        (worker, "process rag.reading"),
    )
    eve = suite.register_user("eve")
    with (DATA / "handbook-1p.docx").open("rb") as file:
        response = eve(
            "POST",
            "/rag/documents?wait=60",
            files={"file": file},
            headers={"traceparent": f"00-{UPLOAD}-eee19b7ec3c1b174-01", "X-Request-ID": "read-1"},
        )
    assert response.json()["documents"][0]["status"] == "ready", response.text
    expected = {*chain, *((worker, stage) for stage in STAGES)}
    wait_until(lambda: expected <= {(span.service, span.name) for span in collector.trace(UPLOAD)})

    trace = collector.trace(UPLOAD)
    spans = {(span.service, span.name): span for span in trace}
    parents = ["eee19b7ec3c1b174", *(spans[name].span_id for name in chain[:-1])]
    assert [spans[name].parent_id for name in chain] == parents
    reading = spans[chain[-1]].span_id
    assert {spans[worker, stage].parent_id for stage in STAGES} == {reading}
    children = {(span.service, span.name, span.parent_id) for span in trace}
    embed, index = (spans[worker, stage].span_id for stage in ("embed", "index"))
    assert any(name.startswith("embeddings ") and parent == embed for _, name, parent in children)
    assert (worker, f"upsert {vector_store}", embed) in children
    assert any(name == "UPDATE documents" and parent == index for _, name, parent in children)
    assert ("rag-service", "INSERT documents", spans[chain[1]].span_id) in children
    assert ("gateway", "EVALSHA", spans[chain[0]].span_id) in children
    log = suite.folder / "logs" / f"{worker.replace('-', '_')}.log"
    lines = [json.loads(line) for line in log.read_text().splitlines() if "read-1" in line]
    own = [line for line in lines if line.get("request_id") == "read-1"]
    assert own
    assert {line["trace_id"] for line in own} == {UPLOAD}


def test_question_is_one_trace_from_the_gateway_to_rag(suite, collector, ada, vector_store):
    ada.upload(DATA / "handbook-1p.docx")
    ids = {"traceparent": f"00-{TRACE}-eee19b7ec3c1b174-01", "X-Request-ID": "traced-1"}
    question = {"user_request": "What does the handbook say about holidays?"}

    assert ada("POST", "/agent/query", json=question, headers=ids).status_code == 200
    wait_until(
        lambda: (
            set(QUESTION_SPANS) <= {(span.service, span.name) for span in collector.trace(TRACE)}
        )
    )

    spans = {(span.service, span.name): span for span in collector.trace(TRACE)}
    parents = ["eee19b7ec3c1b174", *(spans[name].span_id for name in QUESTION_SPANS[:-1])]
    assert [spans[name].parent_id for name in QUESTION_SPANS] == parents
    searched = {span.name for span in collector.trace(TRACE) if span.service == "rag-service"}
    assert {f"query {vector_store}", "SELECT chunks documents collections"} <= searched
    assert ("gateway", "EVALSHA") in spans


def test_log_lines_of_a_request_have_its_request_id_and_trace_id(suite, ada):
    ids = {"traceparent": f"00-{TRACE}-eee19b7ec3c1b174-01", "X-Request-ID": "traced-2"}
    question = {"user_request": "What does the handbook say about holidays?"}
    ada("POST", "/agent/query", json=question, headers=ids)

    for name in ("gateway", "agent_service", "rag_service"):
        log = suite.folder / "logs" / f"{name}.log"
        wait_until(lambda log=log: "traced-2" in log.read_text())
        lines = [json.loads(line) for line in log.read_text().splitlines() if "traced-2" in line]
        assert {line["request_id"] for line in lines} == {"traced-2"}, name
        assert {line["trace_id"] for line in lines} == {TRACE}, name
