"""Prometheus metrics of ingestion and search."""

from tests.metrics import wait_for_metrics

UNKNOWN = "no-such-mode"


def read_metrics(user) -> dict[str, float]:
    page = wait_for_metrics(user.client, "rag_oldest_waiting_document_age_seconds ")
    pairs = (line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("rag_"))
    return {name: float(value) for name, value in pairs}


def test_metrics_count_documents_by_result_and_status(ada):
    ada.upload("The runway is 1,840 metres long.", "a-name-of-its-own.txt")
    ada.send(b" \n \n", "blank.txt")

    metrics = read_metrics(ada)

    assert metrics['rag_documents{status="ready"}'] == 1
    assert metrics['rag_documents{status="failed"}'] == 1
    assert metrics['rag_documents{status="queued"}'] == 0
    assert metrics['rag_documents_read_total{error_type="",result="ready"}'] == 1
    failed = [name for name in metrics if 'result="failed"' in name]
    assert [metrics[name] for name in failed] == [1]
    assert 'error_type=""' not in failed[0]
    assert metrics["rag_oldest_waiting_document_age_seconds"] == 0
    assert metrics["rag_reader_heartbeat_timestamp_seconds"] > 0
    for stage in ("extracting", "chunking", "embedding", "indexing"):
        assert metrics[f'rag_ingestion_stage_duration_seconds_count{{stage="{stage}"}}'] >= 1
    assert not [name for name in metrics if "a-name-of-its-own" in name]


def test_metrics_count_searches_by_mode_and_without_hits(ada):
    ada.search("nothing is there yet", mode="keyword")
    ada.upload("The runway is 1,840 metres long.")
    ada.search("runway")
    ada("POST", "/search", json={"query": "runway", "collection": UNKNOWN})
    ada("POST", "/search", json={"query": "runway", "mode": UNKNOWN})

    metrics = read_metrics(ada)

    assert metrics['rag_searches_empty_total{mode="keyword"}'] == 1
    assert metrics['rag_search_duration_seconds_count{error_type="",mode="hybrid"}'] == 1
    assert metrics['rag_search_duration_seconds_count{error_type="not_found",mode="hybrid"}'] == 1
    assert metrics["rag_searches_words_only_total"] == 0
    assert not [name for name in metrics if UNKNOWN in name]
