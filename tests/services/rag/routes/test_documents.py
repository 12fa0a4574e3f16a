"""Document endpoints."""

import gzip
import io
import json
import zlib

import pytest

from backend.chassis.web.app_factory import get_component
from backend.chassis.web.wait_slots import WaitSlots
from backend.services.rag.domain.ingestion import runner
from backend.services.rag.extraction.extractor import Extractor
from tests.services.rag.conftest import MIB, PDF, ApiUser

TEXT = "The runway of the old airfield is 1,840 metres long. It was resurfaced in 1997."


def list_blobs(tmp_path):
    folder = tmp_path / "rag" / "blobs"
    return sorted(folder.iterdir()) if folder.exists() else []


def assert_problem(response, status, code):
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert response.content_type == "application/problem+json"


def test_upload_returns_document(ada):
    document = ada.upload(PDF, title="Word processors", metadata='{"shelf": 3}')

    assert {
        "filename": "multi_page.pdf",
        "title": "Word processors",
        "collection": "default",
        "content_type": "application/pdf",
        "size_bytes": PDF.stat().st_size,
        "sha256": "956846c28f9ed9d3b5cbe071865c082bd415f56e3e299c479aeea1f615eefa61",
        "pages": 5,
        "status": "ready",
        "error": None,
        "owner_id": "user-ada",
        "metadata": {"shelf": 3},
        "attachment_of": None,
        "attachments": [],
        "warnings": [],
    }.items() <= document.items()
    assert document["progress"] == {
        "stage": "ready",
        "done": document["chunks"],
        "total": document["chunks"],
    }
    assert document["created_at"].endswith("Z")


def test_upload_without_wait_returns_202_and_is_processed_later(ada):
    response = ada.send(TEXT.encode(), wait=0)

    assert response.status_code == 202
    (document,) = response.json["documents"]
    again = ada.send(TEXT.encode(), wait=20)
    assert again.status_code == 200
    assert again.json["documents"][0]["id"] == document["id"]
    assert again.json["documents"][0]["status"] == "ready"


def test_same_content_in_same_collection_is_one_document(ada, tmp_path):
    first = ada.upload(TEXT, "one.txt")
    second = ada.send(TEXT.encode(), "two.txt", wait=0)
    other_collection = ada.upload(TEXT, "one.txt", collection="airfields")

    assert second.status_code == 200
    assert second.json["documents"][0]["id"] == first["id"]
    assert other_collection["id"] != first["id"]
    assert len(list_blobs(tmp_path)) == 2


def test_replacement_deletes_document_of_same_name_when_ready(ada):
    old = ada.upload("The pump is guaranteed for 24 months.", "pump.txt")
    other = ada.upload("The fan is guaranteed for a year.", "fan.txt")

    new = ada.upload("The pump is guaranteed for 37 months.", "pump.txt", replace="true")

    assert new["replaces"] == [old["id"]]
    assert ada("GET", f"/documents/{old['id']}").status_code == 404
    assert ada("GET", f"/documents/{other['id']}").status_code == 200
    (text,) = [hit["text"] for hit in ada.search("How long is the pump guaranteed?", k=1)]
    assert "37 months" in text


def test_replaced_document_stays_when_replacement_fails(ada):
    old = ada.upload(TEXT, "field.txt")

    (new,) = ada.send(b" \n \n", "field.txt", replace="true").json["documents"]

    assert new["status"] == "failed"
    assert ada("GET", f"/documents/{old['id']}").json["status"] == "ready"
    assert ada.search("How long is the runway?")[0]["document_id"] == old["id"]


def test_replacement_with_existing_content_keeps_existing_document(ada):
    first = ada.upload(TEXT, "field.txt")
    second = ada.upload("The runway was lengthened.", "field.txt")

    again = ada.send(TEXT.encode(), "field.txt", replace="true")

    assert again.status_code == 200
    assert again.json["documents"][0]["replaces"] == [second["id"]]
    documents = ada("GET", "/documents").json["items"]
    assert [document["id"] for document in documents] == [first["id"]]


def test_replace_must_be_true_or_false(ada):
    assert_problem(ada.send(TEXT.encode(), replace="perhaps"), 422, "validation_failed")


def test_failed_document_is_retried_when_uploaded_again(ada, monkeypatch):
    monkeypatch.setattr(Extractor, "extract_text", lambda *_: 1 / 0)
    monkeypatch.setattr(runner, "MAX_FAILURES", 1)
    (failed,) = ada.send(TEXT.encode()).json["documents"]
    assert failed["status"] == "failed"
    monkeypatch.undo()

    (again,) = ada.send(TEXT.encode()).json["documents"]

    assert (again["id"], again["status"], again["error"]) == (failed["id"], "ready", None)


def test_upload_accepts_several_files(ada):
    files = [(io.BytesIO(f"Passage number {n}.".encode()), f"{n}.txt") for n in range(3)]

    response = ada("POST", "/documents?wait=30", data={"file": files})

    assert response.status_code == 201
    assert [document["filename"] for document in response.json["documents"]] == [
        "0.txt",
        "1.txt",
        "2.txt",
    ]


def test_one_invalid_file_rejects_the_whole_upload(ada, tmp_path):
    files = [(io.BytesIO(TEXT.encode()), "good.txt"), (io.BytesIO(b""), "empty.txt")]

    assert_problem(ada("POST", "/documents", data={"file": files}), 422, "validation_failed")

    assert ada("GET", "/documents").json["items"] == []
    assert list_blobs(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        pytest.param(b"", "empty.txt", 422, "validation_failed", id="empty"),
        pytest.param(b"not a PDF at all", "fake.pdf", 422, "unreadable_document", id="text as PDF"),
        pytest.param(b"%PDF-1.7\nhello", "fake.pdf", 422, "unreadable_document", id="PDF header"),
        pytest.param(b"PK\x03\x04 hello", "fake.docx", 422, "unreadable_document", id="ZIP header"),
        pytest.param(b"MZ\x90\x00\x03" + bytes(99), "a.exe", 415, "unsupported_document", id="exe"),
        pytest.param(
            b"\x89PNG\r\n\x1a\n" + bytes(9), "a.txt", 422, "unreadable_document", id="PNG"
        ),
    ],
)
def test_unreadable_upload_is_rejected_and_stores_nothing(
    ada, tmp_path, content, name, status, code
):
    assert_problem(ada.send(content, name), status, code)

    assert ada("GET", "/documents").json["items"] == []
    assert list_blobs(tmp_path) == []


def build_form(content):
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    return head + content + b"\r\n--x--\r\n"


@pytest.mark.parametrize("length", [2 * MIB + 1, 3 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_upload_size_is_limited_while_streaming(ada, tmp_path, length, chunked):
    body = build_form(b"a" * length)
    body_options = {"input_stream": io.BytesIO(body)} if chunked else {"data": body}

    response = ada(
        "POST",
        "/documents",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        environ_overrides={"wsgi.input_terminated": chunked},
        **body_options,
    )

    assert_problem(response, 413, "too_large")
    assert list_blobs(tmp_path) == []


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_encoded_upload_is_decoded_and_limited_by_its_decoded_size(ada, tmp_path, coding):
    compress = gzip.compress if coding == "gzip" else zlib.compress

    def upload(content):
        return ada(
            "POST",
            "/documents?wait=30",
            data=compress(build_form(content)),
            headers={
                "Content-Type": "multipart/form-data; boundary=x",
                "Content-Encoding": coding,
            },
        )

    accepted = upload(TEXT.encode())
    document_id = accepted.json["documents"][0]["id"]
    assert ada("GET", f"/documents/{document_id}/content").data == TEXT.encode()

    stored = list_blobs(tmp_path)
    assert_problem(upload(b"a" * (3 * MIB)), 413, "too_large")
    assert list_blobs(tmp_path) == stored


def test_encoded_upload_with_an_unsupported_or_damaged_coding_is_rejected(ada, tmp_path):
    def upload(body, coding):
        headers = {
            "Content-Type": "multipart/form-data; boundary=x",
            "Content-Encoding": coding,
        }
        return ada("POST", "/documents", data=body, headers=headers)

    unsupported = upload(b"x", "br")
    assert_problem(unsupported, 415, "unsupported_content_coding")
    assert unsupported.headers["Accept-Encoding"] == "gzip, deflate"
    damaged = gzip.compress(build_form(bytes(range(256)) * 99))[:-20]
    assert_problem(upload(damaged, "gzip"), 400, "malformed_content_coding")
    assert list_blobs(tmp_path) == []


def test_upload_of_maximum_size_is_accepted(ada):
    body = build_form(b"word " * (2 * MIB // 5))

    response = ada(
        "POST",
        "/documents",
        data=body,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )

    assert response.status_code == 202
    assert ada("DELETE", f"/documents/{response.json['documents'][0]['id']}").status_code == 204


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer", "a.pdf", id="damaged PDF"),
        pytest.param(b" \n \n", "blank.txt", id="only whitespace"),
    ],
)
def test_document_that_cannot_be_extracted_fails_with_error_code(ada, content, name):
    response = ada.send(content, name)

    assert response.status_code == 201
    (document,) = response.json["documents"]
    assert document["status"] == "failed"
    assert document["error"]["code"] in ("unreadable_document", "no_text")
    assert ada.search("anything") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("..", "document"),
        ("übersicht\u202egpj.txt", "übersichtgpj.txt"),
        ("a" * 300 + ".txt", "a" * 196 + ".txt"),
    ],
)
def test_file_name_is_sanitized(ada, name, expected):
    (document,) = ada.send(TEXT.encode(), name).json["documents"]

    assert document["filename"] == expected


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        pytest.param({"owner_id": "user-bob"}, "#/owner_id", id="field set by the server"),
        pytest.param({"metadata": "[1]"}, "#/metadata", id="metadata without object"),
        pytest.param({"metadata": "[" * 100_00}, "#/metadata", id="deeply nested metadata"),
        pytest.param({"metadata": '{"a": "\\ud800"}'}, "#/metadata", id="lone surrogate"),
        pytest.param({"metadata": '{"a": "\\u0000"}'}, "#/metadata", id="NUL"),
        pytest.param({"metadata": '{"a": NaN}'}, "#/metadata", id="NaN"),
        pytest.param({"metadata": '{"a": [1e999]}'}, "#/metadata", id="infinite"),
        pytest.param({"metadata": '{"a": "%s"}' % ("x" * 20_000)}, "#/metadata", id="long"),
        pytest.param({"collection": "../up"}, "#/collection", id="collection with path"),
        pytest.param({"title": "x" * 301}, "#/title", id="long title"),
        pytest.param({"title": "a\x07b"}, "#/title", id="control character in title"),
        pytest.param({"title": "a\u202eb"}, "#/title", id="text direction in title"),
    ],
)
def test_invalid_form_field_returns_pointer(ada, tmp_path, fields, pointer):
    response = ada.send(TEXT.encode(), **fields)

    assert_problem(response, 422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert list_blobs(tmp_path) == []


def test_malformed_forms_are_rejected(ada):
    assert_problem(ada("POST", "/documents", data={"title": "x"}), 415, "unsupported_media_type")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    form_without_file = b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nx\r\n--x--\r\n'
    assert_problem(
        ada("POST", "/documents", data=form_without_file, headers=form), 422, "validation_failed"
    )
    incomplete_form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx'
    assert_problem(
        ada("POST", "/documents", data=incomplete_form, headers=form), 400, "malformed_form"
    )
    assert_problem(ada("POST", "/documents", json={}), 415, "unsupported_media_type")
    assert ada("POST", "/documents?wait=99", json={}).status_code == 422


def test_idempotency_key_returns_first_response_again(ada):
    key = {"Idempotency-Key": "once"}
    first = ada("POST", "/documents", data={"file": (io.BytesIO(b"One."), "a.txt")}, headers=key)
    again = ada("POST", "/documents", data={"file": (io.BytesIO(b"One."), "a.txt")}, headers=key)
    other = ada("POST", "/documents", data={"file": (io.BytesIO(b"Two."), "a.txt")}, headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json == first.json
    assert_problem(other, 409, "idempotency_conflict")


def test_documents_are_listed_in_pages_newest_first(ada):
    uploaded = [ada.upload(f"Passage number {n}.", f"{n}.txt")["id"] for n in range(3)]

    first = ada("GET", "/documents?limit=2").json
    second = ada("GET", f"/documents?limit=2&cursor={first['next_cursor']}").json

    assert [item["id"] for item in first["items"] + second["items"]] == uploaded[::-1]
    assert second["next_cursor"] is None


def test_document_list_filters_by_collection_status_and_text(ada):
    ada.upload("About bees.", "bees.txt", collection="insects")
    ada.upload("About 100% of ants.", "ants.txt", collection="insects")
    ada.upload("About owls.", "owls.txt")

    def names(query):
        return {item["filename"] for item in ada("GET", f"/documents?{query}").json["items"]}

    assert names("collection=insects") == {"bees.txt", "ants.txt"}
    assert names("q=OWL") == {"owls.txt"}
    assert names("q=%25") == set()
    assert names("status=ready&collection=default") == {"owls.txt"}
    assert names("status=failed") == set()
    assert ada("GET", "/documents?collection=nothing").status_code == 404
    assert ada("GET", "/documents?cursor=WyJhIiwiYiJd").status_code == 422


def test_content_is_returned_as_attachment(ada):
    content = "<script>alert(1)</script> Grüße".encode()
    document = ada.upload(content.decode(), "über.html")

    with ada("GET", f"/documents/{document['id']}/content") as response:
        assert response.data == content
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_chunks_cover_the_text_with_exact_offsets(ada):
    document = ada.upload(PDF)
    path = f"/documents/{document['id']}"
    pages = ada("GET", f"{path}/text").json["pages"]
    text = "".join(page["text"] for page in pages)

    chunks, cursor = [], ""
    while cursor is not None:
        page = ada("GET", f"{path}/chunks?limit=5{cursor and '&cursor=' + cursor}").json
        chunks, cursor = chunks + page["items"], page["next_cursor"]

    assert len(chunks) == document["chunks"]
    for chunk in chunks:
        assert chunk["text"] == text[chunk["start"] : chunk["end"]]
        assert pages[chunk["page"] - 1]["start"] <= chunk["start"]
    covered = {offset for chunk in chunks for offset in range(chunk["start"], chunk["end"])}
    assert all(offset in covered for offset, letter in enumerate(text) if not letter.isspace())
    assert ada("GET", f"{path}/chunks?cursor=WyJhYmMiXQ").status_code == 422


def test_update_changes_title_metadata_and_collection(ada):
    document = ada.upload(TEXT)
    path = f"/documents/{document['id']}"
    ada("POST", "/collections", json={"name": "airfields"})

    response = ada(
        "PATCH",
        path,
        json={"title": "Airfield survey", "metadata": {"year": 1997}, "collection": "airfields"},
    )

    assert response.status_code == 200
    assert response.json["title"] == "Airfield survey"
    assert response.json["metadata"] == {"year": 1997}
    assert response.json["collection"] == "airfields"
    ada("GET", f"{path}/events")  # wait until it is processed again
    assert ada.search("How long is the runway?", collection="airfields")
    assert ada.search("How long is the runway?", collection="default") == []
    for invalid in (
        {"owner_id": "user-bob"},
        {"status": "ready"},
        {"title": ""},
        {"title": "a\nb"},
    ):
        assert ada("PATCH", path, json=invalid).status_code == 422


def test_move_returns_409_when_collection_has_same_content(ada):
    document = ada.upload(TEXT)
    ada.upload(TEXT, collection="airfields")

    response = ada("PATCH", f"/documents/{document['id']}", json={"collection": "airfields"})

    assert_problem(response, 409, "already_there")


@pytest.mark.parametrize("invalid", ['{"metadata": {"a": 1e999}}', '{"metadata": {"a": NaN}}'])
def test_non_json_numbers_in_metadata_are_rejected(shared_user, invalid):
    user = shared_user("user-careless")
    document = user.upload("A text to be careless with.")

    response = user(
        "PATCH",
        f"/documents/{document['id']}",
        data=invalid,
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code in (400, 422)


def test_path_with_nul_returns_404(shared_user):
    user = shared_user("user-careless")

    assert user("GET", "/documents/doc%00x").status_code == 404
    assert user("GET", "/collections/a%00x").status_code == 404


def test_content_returns_404_when_file_is_missing(ada, tmp_path):
    document = ada.upload(TEXT)
    list_blobs(tmp_path)[0].unlink()

    assert_problem(ada("GET", f"/documents/{document['id']}/content"), 404, "not_found")


def test_document_is_searchable_during_reindexing(ada):
    document = ada.upload(TEXT)

    response = ada("POST", f"/documents/{document['id']}/reindex")

    assert response.status_code == 202
    assert ada.search("runway")
    events = ada("GET", f"/documents/{document['id']}/events").text
    assert '"status": "ready"' in events
    (hit,) = ada.search("runway")
    assert hit["document_id"] == document["id"]


def test_events_stream_progress_until_ready(ada):
    (document,) = ada.send(PDF.read_bytes(), "a.pdf", wait=0).json["documents"]

    response = ada("GET", f"/documents/{document['id']}/events")

    assert response.content_type.startswith("text/event-stream")
    blocks = [block for block in response.text.split("\n\n") if block.startswith("event: progress")]
    states = [json.loads(block.partition("data: ")[2]) for block in blocks]
    assert states[-1]["status"] == "ready"
    assert {state["id"] for state in states} == {document["id"]}


def test_waiting_requests_are_limited_to_the_slots(app, ada):
    document = ada.upload(TEXT)
    slots = get_component(app, WaitSlots)
    while slots.acquire_slot():
        pass

    stream = ada("GET", f"/documents/{document['id']}/events")
    upload = ada.send(b"Another text.", wait=30)

    assert_problem(stream, 503, "too_many_watchers")
    assert upload.status_code == 202
    slots.release_slot()
    for _ in range(3):  # each stream releases its slot
        with ada("GET", f"/documents/{document['id']}/events") as response:
            assert response.status_code == 200


def test_deleted_document_is_gone_immediately(ada, tmp_path):
    document = ada.upload(TEXT)
    path = f"/documents/{document['id']}"
    assert ada.search("How long is the runway?")

    assert ada("DELETE", path).status_code == 204

    assert ada.search("How long is the runway?") == []
    assert ada.ask("How long is the runway?")["citations"] == []
    for suffix in ("", "/content", "/chunks", "/text", "/events"):
        assert_problem(ada("GET", path + suffix), 404, "not_found")
    assert_problem(ada("DELETE", path), 404, "not_found")
    assert ada.upload("Something else, so that the queue has processed the deletion.")
    assert len(list_blobs(tmp_path)) == 1
    assert ada.upload(TEXT)["id"] != document["id"]


def test_full_queue_returns_503_with_retry_after(start_app, identities):
    ada = ApiUser(start_app(identities, max_queued_documents=1), identities.bearer())
    files = [(io.BytesIO(f"Passage {n}.".encode()), f"{n}.txt") for n in range(3)]

    response = ada("POST", "/documents", data={"file": files})

    assert_problem(response, 503, "queue_full")
    assert response.headers["Retry-After"] == "60"


LETTERS = b"abcdefghij\nklmnopqrst\n"


@pytest.fixture(scope="module")
def letters(shared_user):
    """Return a function that downloads a file of 22 bytes with the given headers."""
    user = shared_user("user-with-letters")
    document_id = user.upload(LETTERS, "letters.txt")["id"]

    def download(method="GET", **headers):
        return user(
            method,
            f"/documents/{document_id}/content",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return download


@pytest.mark.parametrize(
    ("header", "content_range", "content"),
    [
        ("bytes=3-4", "bytes 3-4/22", b"de"),
        ("bytes=0-", "bytes 0-21/22", LETTERS),
        ("bytes=20-", "bytes 20-21/22", b"t\n"),
        ("bytes=-2", "bytes 20-21/22", b"t\n"),
        ("bytes=20-900", "bytes 20-21/22", b"t\n"),
        ("bytes=-1000", "bytes 0-21/22", LETTERS),
        ("Bytes= 0-0 ", "bytes 0-0/22", b"a"),
        ("bytes=0000000000000000000000003-4", "bytes 3-4/22", b"de"),
        ("bytes=3-99999999999999999999999", "bytes 3-21/22", LETTERS[3:]),
    ],
)
def test_one_range_returns_206(letters, header, content_range, content):
    response = letters(Range=header)

    assert (response.status_code, response.data) == (206, content)
    assert response.headers["Content-Range"] == content_range
    assert response.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,3-4",
        "bytes=3-4,0-1",
        "bytes=0-9,5-",
        "bytes=900-,901-",
        "bytes=" + ",".join(["0-"] * 2000),
        "bytes=5-2",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "bytes=+1-2",
        "bytes=\u0661-2",
        "lines=0-1",
        "0-1",
    ],
)
def test_several_ranges_and_other_range_headers_are_ignored(letters, header):
    response = letters(Range=header.encode().decode("latin-1"))

    assert (response.status_code, response.data) == (200, LETTERS)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert "Content-Range" not in response.headers


@pytest.mark.parametrize("header", ["bytes=22-", "bytes=900-901", "bytes=-0", f"bytes={10**30}-"])
def test_range_after_the_end_returns_416_with_the_length(letters, header):
    response = letters(Range=header)

    assert_problem(response, 416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == "bytes */22"


def test_range_is_ignored_for_head_and_after_failed_conditions(letters):
    etag = letters().headers["ETag"]

    head = letters("HEAD", Range="bytes=3-4")
    cached = letters(Range="bytes=3-4", If_None_Match=etag)
    current = letters(Range="bytes=3-4", If_Range=etag)
    changed = letters(Range="bytes=3-4", If_Range='"other"')
    changed_beyond = letters(Range="bytes=900-", If_Range='"other"')

    assert (head.status_code, head.headers["Content-Length"], head.data) == (200, "22", b"")
    assert (cached.status_code, cached.data) == (304, b"")
    assert (current.status_code, current.data) == (206, b"de")
    assert (changed.status_code, changed.data) == (200, LETTERS)
    assert (changed_beyond.status_code, changed_beyond.data) == (200, LETTERS)
