"""Documents through the door that a caller uses."""

import io
import json

import pytest

from backend.services.rag.clients.extraction import Extractor
from backend.services.rag.domain import ingestion
from backend.services.rag.domain.documents import Watchers
from tests.services.rag.conftest import MIB, PDF

TEXT = "The runway of the old airfield is 1,840 metres long. It was resurfaced in 1997."


def blobs(tmp_path):
    folder = tmp_path / "rag" / "blobs"
    return sorted(folder.iterdir()) if folder.exists() else []


def is_problem(response, status, code):
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert response.content_type == "application/problem+json"


def test_an_upload_is_described_as_promised(ada):
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
    }.items() <= document.items()
    assert document["progress"] == {
        "stage": "ready",
        "done": document["chunks"],
        "total": document["chunks"],
    }
    assert document["created_at"].endswith("Z")


def test_without_wait_an_upload_is_accepted_and_read_later(ada):
    response = ada.send(TEXT.encode(), wait=0)

    assert response.status_code == 202
    (document,) = response.json["documents"]
    again = ada.send(TEXT.encode(), wait=20)
    assert again.status_code == 200
    assert again.json["documents"][0]["id"] == document["id"]
    assert again.json["documents"][0]["status"] == "ready"


def test_the_same_bytes_in_the_same_collection_are_one_document(ada, tmp_path):
    first = ada.upload(TEXT, "one.txt")
    second = ada.send(TEXT.encode(), "two.txt", wait=0)
    elsewhere = ada.upload(TEXT, "one.txt", collection="airfields")

    assert second.status_code == 200
    assert second.json["documents"][0]["id"] == first["id"]
    assert elsewhere["id"] != first["id"]
    assert len(blobs(tmp_path)) == 2


def test_a_replacement_takes_the_place_of_its_namesake_when_it_is_ready(ada):
    old = ada.upload("The pump is guaranteed for 24 months.", "pump.txt")
    other = ada.upload("The fan is guaranteed for a year.", "fan.txt")

    new = ada.upload("The pump is guaranteed for 37 months.", "pump.txt", replace="true")

    assert new["replaces"] == [old["id"]]
    assert ada("GET", f"/documents/{old['id']}").status_code == 404
    assert ada("GET", f"/documents/{other['id']}").status_code == 200
    (text,) = [each["text"] for each in ada.search("How long is the pump guaranteed?", k=1)]
    assert "37 months" in text


def test_what_is_to_be_replaced_stays_when_its_replacement_cannot_be_read(ada):
    old = ada.upload(TEXT, "field.txt")

    (new,) = ada.send(b" \n \n", "field.txt", replace="true").json["documents"]

    assert new["status"] == "failed"
    assert ada("GET", f"/documents/{old['id']}").json["status"] == "ready"
    assert ada.search("How long is the runway?")[0]["document_id"] == old["id"]


def test_a_replacement_by_bytes_that_are_there_leaves_those_alone(ada):
    first = ada.upload(TEXT, "field.txt")
    second = ada.upload("The runway was lengthened.", "field.txt")

    again = ada.send(TEXT.encode(), "field.txt", replace="true")

    assert again.status_code == 200
    assert again.json["documents"][0]["replaces"] == [second["id"]]
    listed = ada("GET", "/documents").json["items"]
    assert [each["id"] for each in listed] == [first["id"]]


def test_whether_to_replace_is_said_by_true_or_false(ada):
    is_problem(ada.send(TEXT.encode(), replace="perhaps"), 422, "validation_failed")


def test_a_failed_document_is_tried_again_when_its_bytes_come_again(ada, monkeypatch):
    monkeypatch.setattr(Extractor, "extract", lambda *_: 1 / 0)
    monkeypatch.setattr(ingestion, "MOST_FAULTS", 1)
    (failed,) = ada.send(TEXT.encode()).json["documents"]
    assert failed["status"] == "failed"
    monkeypatch.undo()

    (again,) = ada.send(TEXT.encode()).json["documents"]

    assert (again["id"], again["status"], again["error"]) == (failed["id"], "ready", None)


def test_several_files_come_in_together(ada):
    files = [(io.BytesIO(f"Passage number {n}.".encode()), f"{n}.txt") for n in range(3)]

    response = ada("POST", "/documents?wait=30", data={"file": files})

    assert response.status_code == 201
    assert [each["filename"] for each in response.json["documents"]] == ["0.txt", "1.txt", "2.txt"]


def test_one_bad_file_of_several_keeps_all_of_them_out(ada, tmp_path):
    files = [(io.BytesIO(TEXT.encode()), "good.txt"), (io.BytesIO(b""), "empty.txt")]

    is_problem(ada("POST", "/documents", data={"file": files}), 422, "validation_failed")

    assert ada("GET", "/documents").json["items"] == []
    assert blobs(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        pytest.param(b"", "empty.txt", 422, "validation_failed", id="empty"),
        pytest.param(b"not a PDF at all", "fake.pdf", 422, "unreadable_document", id="no PDF"),
        pytest.param(b"%PDF-1.7\nhello", "fake.pdf", 422, "unreadable_document", id="PDF header"),
        pytest.param(b"PK\x03\x04 hello", "fake.docx", 422, "unreadable_document", id="no DOCX"),
        pytest.param(b"MZ\x90\x00\x03" + bytes(99), "a.exe", 415, "unsupported_document", id="exe"),
        pytest.param(
            b"\x89PNG\r\n\x1a\n" + bytes(9), "a.txt", 422, "unreadable_document", id="PNG"
        ),
    ],
)
def test_what_can_not_be_read_is_refused_and_leaves_nothing(
    ada, tmp_path, content, name, status, code
):
    is_problem(ada.send(content, name), status, code)

    assert ada("GET", "/documents").json["items"] == []
    assert blobs(tmp_path) == []


def form_of(content):
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    return head + content + b"\r\n--x--\r\n"


@pytest.mark.parametrize("length", [2 * MIB + 1, 3 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_is_counted_while_it_streams(ada, tmp_path, length, chunked):
    body = form_of(b"a" * length)
    how = {"input_stream": io.BytesIO(body)} if chunked else {"data": body}

    response = ada(
        "POST",
        "/documents",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        environ_overrides={"wsgi.input_terminated": chunked},
        **how,
    )

    is_problem(response, 413, "too_large")
    assert blobs(tmp_path) == []


def test_an_upload_of_the_largest_size_is_taken(ada):
    body = form_of(b"word " * (2 * MIB // 5))

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
        pytest.param(b" \n \n", "blank.txt", id="nothing but blanks"),
    ],
)
def test_what_turns_out_unreadable_while_it_is_read_says_why(ada, content, name):
    response = ada.send(content, name)

    assert response.status_code == 201
    (document,) = response.json["documents"]
    assert document["status"] == "failed"
    assert document["error"]["code"] in ("unreadable_document", "no_text")
    assert ada.search("anything") == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("..", "document"),
        ("übersicht\u202egpj.txt", "übersichtgpj.txt"),
        ("a" * 300 + ".txt", "a" * 196 + ".txt"),
    ],
)
def test_a_file_name_is_only_a_name(ada, name, kept):
    (document,) = ada.send(TEXT.encode(), name).json["documents"]

    assert document["filename"] == kept


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        pytest.param({"owner_id": "user-bob"}, "#/owner_id", id="what the server sets"),
        pytest.param({"metadata": "[1]"}, "#/metadata", id="metadata that is no object"),
        pytest.param({"metadata": "[" * 100_00}, "#/metadata", id="metadata that is deep"),
        pytest.param({"metadata": '{"a": "\\ud800"}'}, "#/metadata", id="half a character"),
        pytest.param({"metadata": '{"a": "\\u0000"}'}, "#/metadata", id="NUL"),
        pytest.param({"metadata": '{"a": NaN}'}, "#/metadata", id="NaN"),
        pytest.param({"metadata": '{"a": [1e999]}'}, "#/metadata", id="infinite"),
        pytest.param({"metadata": '{"a": "%s"}' % ("x" * 20_000)}, "#/metadata", id="long"),
        pytest.param({"collection": "../up"}, "#/collection", id="a path as collection"),
        pytest.param({"title": "x" * 301}, "#/title", id="endless title"),
        pytest.param({"title": "a\x07b"}, "#/title", id="a title that rings"),
        pytest.param({"title": "a\u202eb"}, "#/title", id="a title that turns round"),
    ],
)
def test_fields_beside_the_file_are_checked_by_name(ada, tmp_path, fields, pointer):
    response = ada.send(TEXT.encode(), **fields)

    is_problem(response, 422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert blobs(tmp_path) == []


def test_a_form_without_a_file_and_a_body_that_is_no_form(ada):
    is_problem(ada("POST", "/documents", data={"title": "x"}), 415, "unsupported_media_type")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    no_file = b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nx\r\n--x--\r\n'
    is_problem(ada("POST", "/documents", data=no_file, headers=form), 422, "validation_failed")
    cut = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx'
    is_problem(ada("POST", "/documents", data=cut, headers=form), 400, "malformed_form")
    is_problem(ada("POST", "/documents", json={}), 415, "unsupported_media_type")
    assert ada("POST", "/documents?wait=99", json={}).status_code == 422


def test_the_same_key_gets_the_first_answer_again(ada):
    key = {"Idempotency-Key": "once"}
    first = ada("POST", "/documents", data={"file": (io.BytesIO(b"One."), "a.txt")}, headers=key)
    again = ada("POST", "/documents", data={"file": (io.BytesIO(b"One."), "a.txt")}, headers=key)
    other = ada("POST", "/documents", data={"file": (io.BytesIO(b"Two."), "a.txt")}, headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json == first.json
    is_problem(other, 409, "idempotency_conflict")


def test_a_list_is_read_page_by_page_newest_first(ada):
    made = [ada.upload(f"Passage number {n}.", f"{n}.txt")["id"] for n in range(3)]

    first = ada("GET", "/documents?limit=2").json
    second = ada("GET", f"/documents?limit=2&cursor={first['next_cursor']}").json

    assert [each["id"] for each in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


def test_a_list_is_narrowed(ada):
    ada.upload("About bees.", "bees.txt", collection="insects")
    ada.upload("About 100% of ants.", "ants.txt", collection="insects")
    ada.upload("About owls.", "owls.txt")

    def names(query):
        return {each["filename"] for each in ada("GET", f"/documents?{query}").json["items"]}

    assert names("collection=insects") == {"bees.txt", "ants.txt"}
    assert names("q=OWL") == {"owls.txt"}
    assert names("q=%25") == set()
    assert names("status=ready&collection=default") == {"owls.txt"}
    assert names("status=failed") == set()
    assert ada("GET", "/documents?collection=nothing").status_code == 404
    assert ada("GET", "/documents?cursor=WyJhIiwiYiJd").status_code == 422


def test_the_bytes_come_back_as_an_attachment(ada):
    content = "<script>alert(1)</script> Grüße".encode()
    document = ada.upload(content.decode(), "über.html")

    with ada("GET", f"/documents/{document['id']}/content") as response:
        assert response.data == content
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_chunks_cover_the_text_and_point_into_it(ada):
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
    covered = {at for chunk in chunks for at in range(chunk["start"], chunk["end"])}
    assert all(at in covered for at, letter in enumerate(text) if not letter.isspace())
    assert ada("GET", f"{path}/chunks?cursor=WyJhYmMiXQ").status_code == 422


def test_a_change_of_title_metadata_and_place(ada):
    document = ada.upload(TEXT)
    path = f"/documents/{document['id']}"
    ada("POST", "/collections", json={"name": "airfields"})

    changed = ada(
        "PATCH",
        path,
        json={"title": "Airfield survey", "metadata": {"year": 1997}, "collection": "airfields"},
    )

    assert changed.status_code == 200
    assert changed.json["title"] == "Airfield survey"
    assert changed.json["metadata"] == {"year": 1997}
    assert changed.json["collection"] == "airfields"
    ada("GET", f"{path}/events")  # until it is read again
    assert ada.search("How long is the runway?", collection="airfields")
    assert ada.search("How long is the runway?", collection="default") == []
    for wrong in ({"owner_id": "user-bob"}, {"status": "ready"}, {"title": ""}, {"title": "a\nb"}):
        assert ada("PATCH", path, json=wrong).status_code == 422


def test_a_document_does_not_move_to_where_its_bytes_are_already(ada):
    document = ada.upload(TEXT)
    ada.upload(TEXT, collection="airfields")

    response = ada("PATCH", f"/documents/{document['id']}", json={"collection": "airfields"})

    is_problem(response, 409, "already_there")


@pytest.mark.parametrize("wrong", ['{"metadata": {"a": 1e999}}', '{"metadata": {"a": NaN}}'])
def test_a_number_that_json_does_not_know_is_refused(shared, wrong):
    person = shared("user-careless")
    document = person.upload("A text to be careless with.")

    response = person(
        "PATCH",
        f"/documents/{document['id']}",
        data=wrong,
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code in (400, 422)


def test_a_path_with_a_nul_leads_nowhere(shared):
    person = shared("user-careless")

    assert person("GET", "/documents/doc%00x").status_code == 404
    assert person("GET", "/collections/a%00x").status_code == 404


def test_bytes_that_are_deleted_this_moment_are_not_found(ada, tmp_path):
    document = ada.upload(TEXT)
    blobs(tmp_path)[0].unlink()

    is_problem(ada("GET", f"/documents/{document['id']}/content"), 404, "not_found")


def test_reindexing_keeps_the_document_found(ada):
    document = ada.upload(TEXT)

    response = ada("POST", f"/documents/{document['id']}/reindex")

    assert response.status_code == 202
    assert ada.search("runway")
    events = ada("GET", f"/documents/{document['id']}/events").text
    assert '"status": "ready"' in events
    (found,) = ada.search("runway")
    assert found["document_id"] == document["id"]


def test_events_tell_the_progress_until_the_end(ada):
    (document,) = ada.send(PDF.read_bytes(), "a.pdf", wait=0).json["documents"]

    response = ada("GET", f"/documents/{document['id']}/events")

    assert response.content_type.startswith("text/event-stream")
    blocks = [each for each in response.text.split("\n\n") if each.startswith("event: progress")]
    states = [json.loads(each.partition("data: ")[2]) for each in blocks]
    assert states[-1]["status"] == "ready"
    assert {state["id"] for state in states} == {document["id"]}


def test_watchers_never_hold_all_threads(app, ada):
    document = ada.upload(TEXT)
    watchers = app.extensions["backend.parts"][Watchers]
    while watchers.enter():
        pass

    refused = ada("GET", f"/documents/{document['id']}/events")
    unwaited = ada.send(b"Another text.", wait=30)

    is_problem(refused, 503, "too_many_watchers")
    assert unwaited.status_code == 202
    watchers.leave()
    for _ in range(3):  # each leaves again
        with ada("GET", f"/documents/{document['id']}/events") as response:
            assert response.status_code == 200


def test_what_is_deleted_is_gone_at_once_everywhere(ada, tmp_path):
    document = ada.upload(TEXT)
    path = f"/documents/{document['id']}"
    assert ada.search("How long is the runway?")

    assert ada("DELETE", path).status_code == 204

    assert ada.search("How long is the runway?") == []
    assert ada.ask("How long is the runway?")["citations"] == []
    for suffix in ("", "/content", "/chunks", "/text", "/events"):
        is_problem(ada("GET", path + suffix), 404, "not_found")
    is_problem(ada("DELETE", path), 404, "not_found")
    assert ada.upload("Something else, so that the queue has passed the delete.")
    assert len(blobs(tmp_path)) == 1
    assert ada.upload(TEXT)["id"] != document["id"]


def test_a_full_queue_says_when_to_come_back(start, identities):
    from tests.services.rag.conftest import Person

    ada = Person(start(identities, max_waiting=1), identities.bearer())
    files = [(io.BytesIO(f"Passage {n}.".encode()), f"{n}.txt") for n in range(3)]

    response = ada("POST", "/documents", data={"file": files})

    is_problem(response, 503, "queue_full")
    assert response.headers["Retry-After"] == "60"
