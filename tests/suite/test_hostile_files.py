"""Files and questions that mean no good: told so, nothing found, nothing left, the worker alive."""

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
from tests.suite.conftest import DATA, Person, Suite, prepare

pytestmark = pytest.mark.suite

PASSAGE = "The lighthouse of Norderney was first lit in 1874."
REFUSED = (400, 413, 415, 422)


@dataclass
class Outcome:
    """What became of an upload: a refusal, or a document that has failed."""

    status: int
    reason: str
    told: str


def upload(person: Person, name: str, content: bytes, wait: int = 60, **fields: str) -> Outcome:
    """Upload and wait for what comes of it."""
    files = {"file": (name, content)}
    path = f"/rag/documents?wait={wait}"
    response = person("POST", path, files=files, data=fields)
    if response.status_code >= 400:
        return Outcome(response.status_code, response.json()["code"], response.text)
    (document,) = response.json()["documents"]
    ended = lambda: read(person, document["id"])["status"] in ("ready", "failed")  # noqa: E731
    wait_until(ended, seconds=100)
    document = read(person, document["id"])
    error = document.get("error") or {}
    reason = error.get("code", "") if isinstance(error, dict) else str(error)
    return Outcome(200, f"{document['status']} {reason}".strip(), json.dumps(document))


def read(person: Person, document_id: str) -> dict[str, object]:
    found: dict[str, object] = person("GET", f"/rag/documents/{document_id}").json()
    return found


def is_turned_away(outcome: Outcome) -> bool:
    return outcome.status in REFUSED or outcome.reason.startswith("failed")


def leaves_nothing(suite: Suite, person: Person, before: set[Path]) -> None:
    """Nothing can be found; and once what failed is deleted, no file is left of it."""
    for path, key in (("/rag/search", "results"), ("/rag/query", "citations")):
        assert person("POST", path, json={"query": "bomb page lighthouse"}).json()[key] == []
    for document in person("GET", "/rag/documents").json()["items"]:
        assert document["status"] == "failed"
        assert person("DELETE", f"/rag/documents/{document['id']}").status_code == 204
    wait_until(lambda: blobs(suite) <= before)


def blobs(suite: Suite) -> set[Path]:
    return {file for file in (suite.folder / "data" / "rag" / "blobs").rglob("*") if file.is_file()}


def works(person: Person) -> None:
    """A good document is read and found as ever."""
    outcome = upload(person, f"good-{uuid4().hex}.txt", f"{PASSAGE} {uuid4().hex}".encode())
    assert outcome.reason == "ready"
    found = person("POST", "/rag/search", json={"query": "When was the lighthouse lit?"}).json()
    assert "1874" in found["results"][0]["text"]


BAD = {
    "a PDF that is none": ("none.pdf", lambda: b"%PDF-1.7\nnothing of the kind"),
    "a truncated PDF": ("cut.pdf", lambda: (DATA / "multi_page.pdf").read_bytes()[:3000]),
    "an encrypted PDF": (
        "locked.pdf",
        lambda: hostile.encrypted_pdf(DATA / "multi_page.pdf", "secret"),
    ),
    "an empty file": ("empty.pdf", lambda: b""),
    "blanks alone": ("blank.txt", lambda: b" \n\t \n"),
    "a ZIP that is no DOCX": ("lie.docx", lambda: hostile.office_bomb("xlsx", 100)),
    "a program called PDF": ("lie.pdf", lambda: b"\x7fELF\x02\x01\x01" + bytes(500)),
    "a torn ZIP": ("torn.docx", lambda: hostile.docx("bomb")[:400]),
    "entities that call a file": (
        "xxe.docx",
        lambda: hostile.docx(
            "&x;", before='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        ),
    ),
    "entities that multiply": (
        "laughs.docx",
        lambda: hostile.docx("&i;", before=hostile.LAUGHS),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_turned_away_with_its_reason_and_leaves_nothing(suite, ada, name):
    before = blobs(suite)
    filename, make = BAD[name]

    outcome = upload(ada, filename, make())

    assert is_turned_away(outcome), outcome
    assert "root:" not in outcome.told
    leaves_nothing(suite, ada, before)


def test_an_encrypted_pdf_is_read_with_its_password_and_not_with_another(suite, ada):
    content = hostile.encrypted_pdf(DATA / "multi_page.pdf", "secret")

    wrong = upload(ada, "locked.pdf", content, password="guessed")
    right = upload(ada, "opened.pdf", content, password="secret")

    assert is_turned_away(wrong)
    assert right.reason == "ready", right
    assert "secret" not in right.told


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    """A server of somebody else's, and what it has been asked for."""
    asked: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_OPTIONS = do_HEAD = do_GET  # noqa: N815 - the base class looks for these names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_nobody_outside_is_asked_because_a_file_says_so(ada, outside):
    url, asked = outside
    page = f'<html><img src="{url}/x.png"><script src="{url}/x.js"></script><p>{PASSAGE}</p></html>'

    linked = upload(ada, "linked.docx", hostile.docx(PASSAGE, link=f"{url}/x.dotx"))
    shown = upload(ada, "page.html", page.encode())

    assert (linked.reason, shown.reason) == ("ready", "ready")
    assert asked == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../../../../tmp/escaped.txt", id="climbing"),
        pytest.param("..\\..\\escaped.txt", id="climbing elsewhere"),
        pytest.param("/etc/cron.d/escaped.txt", id="absolute"),
        pytest.param("gpj.\u202etxt", id="right to left"),
        pytest.param("n" * 5_000 + ".txt", id="five thousand characters"),
        pytest.param("line\nfeed.txt", id="a line feed"),
        pytest.param("nul\x00.txt", id="a NUL"),
        pytest.param(".", id="a dot"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_file_name_is_no_more_than_a_name(suite, ada, name):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + f'"\r\n\r\n{PASSAGE} {uuid4().hex}\r\n--x--\r\n'.encode()
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}

    response = ada("POST", "/rag/documents?wait=30", data=body, headers=kind)

    assert response.status_code in (201, *REFUSED), response.text
    if response.status_code == 201:
        kept = response.json()["documents"][0]["filename"]
        assert 0 < len(kept) <= 255
        assert not set(kept) & set("/\\\n\x00\u202e")
        assert kept not in (".", "..")
    strays = [file for file in suite.folder.rglob("*escaped*") if file.is_file()]
    assert strays == []


def test_the_same_bytes_at_once_are_one_document(ada):
    content = f"{PASSAGE} {uuid4().hex}".encode()

    def send(number: int):
        files = {"file": (f"copy-{number}.txt", content)}
        return ada("POST", "/rag/documents?wait=30", files=files)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(send, range(4)))

    assert {answer.status_code for answer in answers} <= {200, 201, 202}
    assert len({answer.json()["documents"][0]["id"] for answer in answers}) == 1
    assert len(ada("GET", "/rag/documents").json()["items"]) == 1


def test_a_document_deleted_while_it_is_read_is_gone(suite, ada):
    before = blobs(suite)

    def race(number: int) -> None:
        text = f"Sentence number {number} of {uuid4().hex}. " * 2_000
        response = ada("POST", "/rag/documents", files={"file": (f"r{number}.txt", text.encode())})
        (document,) = response.json()["documents"]
        assert ada("DELETE", f"/rag/documents/{document['id']}").status_code == 204

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(race, range(12)))

    assert ada("GET", "/rag/documents").json()["items"] == []
    leaves_nothing(suite, ada, before)
    works(ada)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"k": 10**6}, id="a million"),
        pytest.param({"filter": {"$or": [{"tenant_id": "x"}, {"status": "ready"}]}}, id="or"),
        pytest.param({"filter": {"$and": []}}, id="and"),
        pytest.param({"filter": {"tenant_id": {"$ne": ""}}}, id="the tenant's field"),
        pytest.param({"filter": {"owner_id": {"$ne": "me"}}}, id="the owner's field"),
        pytest.param({"filter": {"collection_id": {"$exists": True}}}, id="the partition's"),
        pytest.param({"filter": {"x'; DROP TABLE documents; --": 1}}, id="a statement"),
        pytest.param({"collection": "default' OR '1'='1"}, id="a collection of that kind"),
    ],
)
def test_no_question_reaches_beyond_what_its_asker_may_see(ada, bob, body):
    secret = uuid4().hex
    upload(ada, "secret.txt", f"The password of the lighthouse is {secret}.".encode())

    for path in ("/rag/search", "/rag/query"):
        asked = {"query": "password of the lighthouse", **body}
        response = bob("POST", path, json=asked)
        assert response.status_code in (200, 400, 404, 422), response.text
        assert secret not in response.text
        mine = ada("POST", path, json=asked)
        assert mine.status_code in (200, 400, 404, 422), mine.text


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite whose files must be read within half a minute."""
    running = prepare(tmp_path_factory.mktemp("strict"), RAG_EXTRACTION_SECONDS="30")
    try:
        running.start()
        yield running
    finally:
        running.stop()


HEAVY = {
    "5,000 pages": ("long.pdf", lambda: hostile.pdf(5_000), True),
    "a bomb in a PDF": ("bomb.pdf", lambda: hostile.pdf_bomb(1024 * hostile.MIB), False),
    **{
        f"a bomb in {kind}": (
            f"bomb.{kind}",
            lambda kind=kind: hostile.office_bomb(kind, 2048 * hostile.MIB),
            False,
        )
        for kind in hostile.OFFICE
    },
    "a picture of 50,000 by 50,000": ("huge.png", lambda: hostile.picture(50_000), False),
    "200 MB": ("large.txt", lambda: b"A line of a very long file.\n" * 7_250_000, False),
}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_file_costs_no_more_than_it_may(strict, name):
    person, before = strict.person(), blobs(strict)
    filename, make, may_be_read = HEAVY[name]

    outcome = upload(person, filename, make())

    if not may_be_read:
        assert is_turned_away(outcome), outcome
        leaves_nothing(strict, person, before)
    assert most_memory(strict) < 1536 * hostile.MIB
    works(strict.person())


def most_memory(suite: Suite) -> int:
    """The most that a process which is still there has used, in bytes."""
    used = [0]
    for pid in suite.descendants():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        used += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return max(used)
