"""Move a suite with a backup from SQLite to PostgreSQL and back, taken under load."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.databases import create_suite_database, on_postgresql, require_shared_vectors
from tests.servers import wait_until
from tests.suite.conftest import DATA, PASSWORD, ROOT, Suite, UserClient, prepare_suite

pytestmark = [pytest.mark.suite, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]
PDF = DATA / "multi_page.pdf"
QUESTION = {"query": "Who patented the typewriter in 1868?"}
KEY = {"name": "reader", "permissions": ["rag:read"]}


def run_command(suite: Suite, *arguments: object) -> str:
    """Run `python -m backend …` with the suite's settings and return its output."""
    process = subprocess.run(
        [sys.executable, "-m", "backend", *map(str, arguments)],
        cwd=ROOT,
        env=suite.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@contextmanager
def running(suite: Suite) -> Iterator[Suite]:
    try:
        suite.start()
        yield suite
    finally:
        suite.stop()


@contextmanager
def concurrent_uploads(suite: Suite) -> Iterator[list[str]]:
    """Upload and delete documents in a thread until the block ends."""
    writer, stop, done = suite.register_user("writer"), threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            text = f"Note {len(done)}: the ferry leaves at dawn.".encode() * 20
            files = {"file": (f"note-{len(done)}.txt", text)}
            response = writer("POST", "/rag/documents?wait=20", files=files)
            assert response.status_code in (200, 201, 202), response.text
            done.append(response.json()["documents"][0]["id"])
            if len(done) % 2:
                assert writer("DELETE", f"/rag/documents/{done[-1]}").status_code == 204

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield done
    finally:
        stop.set()
        worker.join()


def read_everything(person: UserClient) -> dict[str, object]:
    """Return what a user sees of their own data.

    After a start, searches use the keyword index alone until the vector server responds.
    """
    search = lambda: person("POST", "/rag/search", json=QUESTION).json()  # noqa: E731
    wait_until(lambda: not search()["degraded"], seconds=120)
    hits = search()["results"]
    answer = person("POST", "/rag/query", json=QUESTION).json()
    sessions = person("GET", "/agent/sessions").json()
    conversations = [
        person("GET", f"/agent/sessions/{item['id']}").json() for item in sessions["items"]
    ]
    documents = person("GET", "/rag/documents").json()["items"]
    return {
        "results": [(hit["chunk_id"], hit["text"]) for hit in hits],
        "scores": [hit["score"] for hit in hits],
        "answer": answer["answer"],
        "citations": answer["citations"],
        "conversations": [[m["content"] for m in item["messages"]] for item in conversations],
        "documents": [(item["id"], item["status"], item["chunks"]) for item in documents],
    }


def log_in(suite: Suite, username: str) -> UserClient:
    login = {"username": username, "password": PASSWORD}
    answer = requests.post(f"{suite.url}/auth/login", json=login, timeout=30)
    assert answer.status_code == 200, answer.text
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return UserClient(suite.url, session, answer.json())


def test_users_find_all_data_after_a_move_to_another_database(tmp_path, postgres):
    require_shared_vectors()
    first = prepare_suite(tmp_path / "first")
    database = create_suite_database(postgres)
    second = prepare_suite(tmp_path / "second", DATABASE_URL=database)
    # With --postgresql, the databases of suites have tables already.
    target = {"DATABASE_URL": create_suite_database(postgres)} if on_postgresql() else {}
    third = prepare_suite(tmp_path / "third", **target)
    for suite in (first, second, third):
        suite.folder.mkdir()

    with running(first):
        ada = first.register_user("ada")
        username = ada("GET", "/auth/me").json()["username"]
        ada.upload(PDF)
        ada("POST", "/agent/query", json={"user_request": "What is 17 * 23?"})
        key = ada("POST", "/auth/api-keys", json=KEY).json()["key"]
        refresh = ada.account["refresh_token"]
        before = read_everything(ada)
        with concurrent_uploads(first) as done:
            wait_until(lambda: len(done) >= 5, seconds=120)
            output = run_command(first, "backup", tmp_path / "first.backup")
    assert "vectors" in output
    before["scores"] = pytest.approx(before["scores"], abs=1e-3)
    run_command(first, "verify-backup", tmp_path / "first.backup")

    for suite, file in ((second, "first.backup"), (third, "second.backup")):
        run_command(suite, "restore", tmp_path / file)
        with running(suite):
            user = log_in(suite, username)
            assert read_everything(user) == before
            by_key = requests.get(
                f"{suite.url}/rag/documents", headers={"X-API-Key": key}, timeout=30
            )
            assert by_key.status_code == 200
            assert len(by_key.json()["items"]) == 1
            old_refresh = requests.post(
                f"{suite.url}/auth/refresh", json={"refresh_token": refresh}, timeout=30
            )
            assert old_refresh.status_code == 401
            assert is_rejected(suite, ada)
            # Generated numbers continue after those of the backup.
            added = user.upload(DATA / "csv-semicolon.csv")
            assert user("DELETE", f"/rag/documents/{added['id']}").status_code == 204
            if suite is second:
                run_command(suite, "backup", tmp_path / "second.backup")


def is_rejected(suite: Suite, person: UserClient) -> bool:
    """Return whether the unexpired token from before the restore is rejected."""
    response = requests.get(
        f"{suite.url}/auth/me", headers=dict(person.session.headers), timeout=30
    )
    return response.status_code == 401
