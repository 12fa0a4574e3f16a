"""One request is one trace, through every process that works for it."""

import json

import pytest

from tests.servers import wait_until
from tests.suite.conftest import DATA

pytestmark = pytest.mark.suite

TRACE = "5b8efff798038103d269b633813fc60c"
WAY = (
    ("gateway", "POST agent"),
    ("agent-service", "POST /query"),
    ("agent-service", "invoke_agent embedded-lite"),
    ("agent-service", "execute_tool search_documents"),
    ("agent-service", "POST"),
    ("rag-service", "POST /search"),
)


def test_a_question_is_one_trace_from_the_gateway_to_the_library(suite, collector, ada):
    ada.upload(DATA / "handbook-1p.docx")
    ids = {"traceparent": f"00-{TRACE}-eee19b7ec3c1b174-01", "X-Request-ID": "traced-1"}
    question = {"user_request": "What does the handbook say about holidays?"}

    assert ada("POST", "/agent/query", json=question, headers=ids).status_code == 200
    wait_until(lambda: set(WAY) <= {(span.service, span.name) for span in collector.trace(TRACE)})

    spans = {(span.service, span.name): span for span in collector.trace(TRACE)}
    parents = ["eee19b7ec3c1b174", *(spans[each].span_id for each in WAY[:-1])]
    assert [spans[each].parent_id for each in WAY] == parents


def test_every_line_about_a_request_names_it_and_its_trace(suite, ada):
    ids = {"traceparent": f"00-{TRACE}-eee19b7ec3c1b174-01", "X-Request-ID": "traced-2"}
    question = {"user_request": "What does the handbook say about holidays?"}
    ada("POST", "/agent/query", json=question, headers=ids)

    for name in ("gateway", "agent_service", "rag_service"):
        log = suite.folder / "logs" / f"{name}.log"
        wait_until(lambda log=log: "traced-2" in log.read_text())
        lines = [json.loads(line) for line in log.read_text().splitlines() if "traced-2" in line]
        assert {line["request_id"] for line in lines} == {"traced-2"}, name
        assert {line["trace_id"] for line in lines} == {TRACE}, name
