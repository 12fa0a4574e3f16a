"""What the library tells Prometheus of reading and searching."""

NONE = "no-such-mode"


def told(person) -> dict[str, float]:
    lines = person("GET", "/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("rag_"))
    return {name: float(value) for name, value in pairs}


def test_readings_count_by_how_they_ended_and_the_queue_by_status(ada):
    ada.upload("The runway is 1,840 metres long.", "a-name-of-its-own.txt")
    ada.send(b" \n \n", "blank.txt")

    found = told(ada)

    assert found['rag_documents{status="ready"}'] == 1
    assert found['rag_documents{status="failed"}'] == 1
    assert found['rag_documents{status="queued"}'] == 0
    assert found['rag_documents_read_total{error_type="",result="ready"}'] == 1
    failed = [name for name in found if 'result="failed"' in name]
    assert [found[name] for name in failed] == [1]
    assert 'error_type=""' not in failed[0]
    assert found["rag_oldest_waiting_document_age_seconds"] == 0
    assert found["rag_reader_heartbeat_timestamp_seconds"] > 0
    for stage in ("extracting", "chunking", "embedding", "indexing"):
        assert found[f'rag_ingestion_stage_duration_seconds_count{{stage="{stage}"}}'] >= 1
    assert not [name for name in found if "a-name-of-its-own" in name]


def test_searches_count_by_mode_with_those_that_found_nothing(ada):
    ada.search("nothing is there yet", mode="keyword")
    ada.upload("The runway is 1,840 metres long.")
    ada.search("runway")
    ada("POST", "/search", json={"query": "runway", "collection": NONE})
    ada("POST", "/search", json={"query": "runway", "mode": NONE})

    found = told(ada)

    assert found['rag_searches_empty_total{mode="keyword"}'] == 1
    assert found['rag_search_duration_seconds_count{error_type="",mode="hybrid"}'] == 1
    assert found['rag_search_duration_seconds_count{error_type="not_found",mode="hybrid"}'] == 1
    assert found["rag_searches_words_only_total"] == 0
    assert not [name for name in found if NONE in name]
