"""Malicious files and queries: rejected with a reason, nothing left behind, the worker survives."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from tests import hostile
from tests.servers import wait_until
from tests.suite.conftest import DATA, Suite, UserClient, running_suite

pytestmark = pytest.mark.suite

SENTENCE = "The lighthouse of Norderney was first lit in 1874."
CLIENT_ERRORS = (400, 413, 415, 422)


@dataclass
class Outcome:
    """Result of an upload: an error response, or the status of the processed document."""

    status: int
    reason: str
    body: str


def upload(user: UserClient, name: str, content: bytes, wait: int = 60, **fields: str) -> Outcome:
    """Upload a file and wait until it is processed or rejected."""
    files = {"file": (name, content)}
    path = f"/rag/documents?wait={wait}"
    response = user("POST", path, files=files, data=fields)
    if response.status_code >= 400:
        return Outcome(response.status_code, response.json()["code"], response.text)
    (document,) = response.json()["documents"]
    is_processed = lambda: read(user, document["id"])["status"] in ("ready", "failed")  # noqa: E731
    wait_until(is_processed, seconds=100)
    document = read(user, document["id"])
    error = document.get("error") or {}
    reason = error.get("code", "") if isinstance(error, dict) else str(error)
    return Outcome(200, f"{document['status']} {reason}".strip(), json.dumps(document))


def read(user: UserClient, document_id: str) -> dict[str, object]:
    document: dict[str, object] = user("GET", f"/rag/documents/{document_id}").json()
    return document


def is_rejected(outcome: Outcome) -> bool:
    return outcome.status in CLIENT_ERRORS or outcome.reason.startswith("failed")


def assert_nothing_left(suite: Suite, user: UserClient, before: set[Path]) -> None:
    """Assert that nothing is found, and that deleting the failed document removes its file."""
    for path, key in (("/rag/search", "results"), ("/rag/query", "citations")):
        assert user("POST", path, json={"query": "bomb page lighthouse"}).json()[key] == []
    for document in user("GET", "/rag/documents").json()["items"]:
        assert document["status"] == "failed"
        assert user("DELETE", f"/rag/documents/{document['id']}").status_code == 204
    wait_until(lambda: blobs(suite) <= before)


def blobs(suite: Suite) -> set[Path]:
    return {file for file in (suite.folder / "data" / "rag" / "blobs").rglob("*") if file.is_file()}


def assert_uploads_work(user: UserClient) -> None:
    """Assert that a valid document is still processed and found."""
    outcome = upload(user, f"good-{uuid4().hex}.txt", f"{SENTENCE} {uuid4().hex}".encode())
    assert outcome.reason == "ready"
    found = user("POST", "/rag/search", json={"query": "When was the lighthouse lit?"}).json()
    assert "1874" in found["results"][0]["text"]


INVALID_FILES = {
    "not a PDF": ("none.pdf", lambda: b"%PDF-1.7\nnothing of the kind"),
    "truncated PDF": ("cut.pdf", lambda: (DATA / "multi_page.pdf").read_bytes()[:3000]),
    "encrypted PDF": (
        "locked.pdf",
        lambda: hostile.encrypted_pdf(DATA / "multi_page.pdf", "secret"),
    ),
    "empty file": ("empty.pdf", lambda: b""),
    "only white space": ("blank.txt", lambda: b" \n\t \n"),
    "ZIP that is not a DOCX": ("lie.docx", lambda: hostile.office_bomb("xlsx", 100)),
    "program named PDF": ("lie.pdf", lambda: b"\x7fELF\x02\x01\x01" + bytes(500)),
    "truncated ZIP": ("torn.docx", lambda: hostile.docx("bomb")[:400]),
    "external entity": (
        "xxe.docx",
        lambda: hostile.docx(
            "&x;", before='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        ),
    ),
    "billion laughs": (
        "laughs.docx",
        lambda: hostile.docx("&i;", before=hostile.LAUGHS),
    ),
}


@pytest.mark.parametrize("name", INVALID_FILES)
def test_a_bad_file_is_rejected_with_its_reason_and_leaves_nothing(suite, ada, name):
    before = blobs(suite)
    filename, make = INVALID_FILES[name]

    outcome = upload(ada, filename, make())

    assert is_rejected(outcome), outcome
    assert "root:" not in outcome.body
    assert_nothing_left(suite, ada, before)


def test_encrypted_pdf_is_read_only_with_its_password(suite, ada):
    content = hostile.encrypted_pdf(DATA / "multi_page.pdf", "secret")

    wrong = upload(ada, "locked.pdf", content, password="guessed")
    right = upload(ada, "opened.pdf", content, password="secret")

    assert is_rejected(wrong)
    assert right.reason == "ready", right
    assert "secret" not in right.body


@pytest.fixture
def external_server() -> Iterator[tuple[str, list[str]]]:
    """Run an external server; yield its URL and the requested paths."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_error(404)

        do_OPTIONS = do_HEAD = do_GET  # noqa: N815 - the base class looks for these names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", requested
    server.shutdown()
    server.server_close()


def test_links_in_files_are_not_fetched(ada, external_server):
    url, requested = external_server
    page = (
        f'<html><img src="{url}/x.png"><script src="{url}/x.js"></script><p>{SENTENCE}</p></html>'
    )

    linked = upload(ada, "linked.docx", hostile.docx(SENTENCE, link=f"{url}/x.dotx"))
    shown = upload(ada, "page.html", page.encode())

    assert (linked.reason, shown.reason) == ("ready", "ready")
    assert requested == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../../../../tmp/escaped.txt", id="parent folders"),
        pytest.param("..\\..\\escaped.txt", id="parent folders, Windows"),
        pytest.param("/etc/cron.d/escaped.txt", id="absolute"),
        pytest.param("gpj.\u202etxt", id="right to left"),
        pytest.param("n" * 5_000 + ".txt", id="five thousand characters"),
        pytest.param("line\nfeed.txt", id="line feed"),
        pytest.param("nul\x00.txt", id="NUL"),
        pytest.param(".", id="dot"),
        pytest.param("", id="empty"),
    ],
)
def test_file_name_is_sanitised(suite, ada, name):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + f'"\r\n\r\n{SENTENCE} {uuid4().hex}\r\n--x--\r\n'.encode()
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}

    response = ada("POST", "/rag/documents?wait=30", data=body, headers=kind)

    assert response.status_code in (201, *CLIENT_ERRORS), response.text
    if response.status_code == 201:
        filename = response.json()["documents"][0]["filename"]
        assert 0 < len(filename) <= 255
        assert not set(filename) & set("/\\\n\x00\u202e")
        assert filename not in (".", "..")
    escaped_files = [file for file in suite.folder.rglob("*escaped*") if file.is_file()]
    assert escaped_files == []


def test_concurrent_uploads_of_the_same_bytes_make_one_document(ada):
    content = f"{SENTENCE} {uuid4().hex}".encode()

    def send(number: int):
        files = {"file": (f"copy-{number}.txt", content)}
        return ada("POST", "/rag/documents?wait=30", files=files)

    with ThreadPoolExecutor(4) as threads:
        responses = list(threads.map(send, range(4)))

    assert {response.status_code for response in responses} <= {200, 201, 202}
    assert len({response.json()["documents"][0]["id"] for response in responses}) == 1
    assert len(ada("GET", "/rag/documents").json()["items"]) == 1


def test_document_deleted_during_ingestion_leaves_nothing(suite, ada):
    before = blobs(suite)

    def race(number: int) -> None:
        text = f"Sentence number {number} of {uuid4().hex}. " * 2_000
        response = ada("POST", "/rag/documents", files={"file": (f"r{number}.txt", text.encode())})
        (document,) = response.json()["documents"]
        assert ada("DELETE", f"/rag/documents/{document['id']}").status_code == 204

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(race, range(12)))

    assert ada("GET", "/rag/documents").json()["items"] == []
    assert_nothing_left(suite, ada, before)
    assert_uploads_work(ada)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"k": 10**6}, id="huge k"),
        pytest.param({"filter": {"$or": [{"tenant_id": "x"}, {"status": "ready"}]}}, id="or"),
        pytest.param({"filter": {"$and": []}}, id="and"),
        pytest.param({"filter": {"tenant_id": {"$ne": ""}}}, id="tenant field"),
        pytest.param({"filter": {"owner_id": {"$ne": "me"}}}, id="owner field"),
        pytest.param({"filter": {"collection_id": {"$exists": True}}}, id="partition field"),
        pytest.param({"filter": {"x'; DROP TABLE documents; --": 1}}, id="SQL"),
        pytest.param({"collection": "default' OR '1'='1"}, id="SQL in a collection name"),
    ],
)
def test_malicious_query_does_not_reveal_foreign_documents(ada, bob, body):
    secret = uuid4().hex
    upload(ada, "secret.txt", f"The password of the lighthouse is {secret}.".encode())

    for path in ("/rag/search", "/rag/query"):
        query = {"query": "password of the lighthouse", **body}
        response = bob("POST", path, json=query)
        assert response.status_code in (200, 400, 404, 422), response.text
        assert secret not in response.text
        own_response = ada("POST", path, json=query)
        assert own_response.status_code in (200, 400, 404, 422), own_response.text


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite with an extraction limit of 30 seconds."""
    with running_suite(tmp_path_factory.mktemp("strict"), RAG_EXTRACTION_SECONDS="30") as suite:
        yield suite


HEAVY = {
    "5,000 pages": ("long.pdf", lambda: hostile.pdf(5_000), True),
    "PDF bomb": ("bomb.pdf", lambda: hostile.pdf_bomb(1024 * hostile.MIB), False),
    **{
        f"{kind} bomb": (
            f"bomb.{kind}",
            lambda kind=kind: hostile.office_bomb(kind, 2048 * hostile.MIB),
            False,
        )
        for kind in hostile.OFFICE
    },
    "image of 50,000 by 50,000 pixels": ("huge.png", lambda: hostile.picture(50_000), False),
    "200 MB": ("large.txt", lambda: b"A line of a very long file.\n" * 7_250_000, False),
}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_file_stays_within_the_memory_limit(strict, name):
    user, before = strict.register_user(), blobs(strict)
    filename, make, may_be_read = HEAVY[name]

    outcome = upload(user, filename, make())

    if not may_be_read:
        assert is_rejected(outcome), outcome
        assert_nothing_left(strict, user, before)
    assert get_peak_memory(strict) < 1536 * hostile.MIB
    assert_uploads_work(strict.register_user())


def get_peak_memory(suite: Suite) -> int:
    """Return the highest peak memory of the running processes, in bytes."""
    used = [0]
    for pid in suite.descendants():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        used += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return max(used)
