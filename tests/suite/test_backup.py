"""A suite moves in one file: SQLite to PostgreSQL and back, taken while people work with it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.servers import wait_until
from tests.suite.conftest import DATA, PASSWORD, ROOT, Person, Suite, prepare

pytestmark = [pytest.mark.suite, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]
PDF = DATA / "multi_page.pdf"
QUESTION = {"query": "Who patented the typewriter in 1868?"}
KEY = {"name": "reader", "permissions": ["rag:read"]}


def command(suite: Suite, *words: object) -> str:
    """What `python -m backend …` says, typed with the suite's settings."""
    done = subprocess.run(
        [sys.executable, "-m", "backend", *map(str, words)],
        cwd=ROOT,
        env=suite.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(suite: Suite) -> Iterator[Suite]:
    try:
        suite.start()
        yield suite
    finally:
        suite.stop()


@contextmanager
def busy(suite: Suite) -> Iterator[list[str]]:
    """Somebody uploads, edits and deletes until the block ends."""
    hasty, over, done = suite.person("hasty"), threading.Event(), []

    def work() -> None:
        while not over.is_set():
            text = f"Note {len(done)}: the ferry leaves at dawn.".encode() * 20
            files = {"file": (f"note-{len(done)}.txt", text)}
            answer = hasty("POST", "/rag/documents?wait=20", files=files)
            assert answer.status_code in (200, 201, 202), answer.text
            done.append(answer.json()["documents"][0]["id"])
            if len(done) % 2:
                assert hasty("DELETE", f"/rag/documents/{done[-1]}").status_code == 204

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield done
    finally:
        over.set()
        worker.join()


def findings(suite: Suite, person: Person) -> dict[str, object]:
    """What a person sees of their own."""
    found = person("POST", "/rag/search", json=QUESTION).json()["results"]
    answer = person("POST", "/rag/query", json=QUESTION).json()
    sessions = person("GET", "/agent/sessions").json()
    shown = [person("GET", f"/agent/sessions/{each['id']}").json() for each in sessions["items"]]
    documents = person("GET", "/rag/documents").json()["items"]
    return {
        "results": [(each["chunk_id"], each["text"]) for each in found],
        "scores": [each["score"] for each in found],
        "answer": answer["answer"],
        "citations": answer["citations"],
        "conversations": [[each["content"] for each in one["messages"]] for one in shown],
        "documents": [(each["id"], each["status"], each["chunks"]) for each in documents],
    }


def signed_in(suite: Suite, username: str) -> Person:
    login = {"username": username, "password": PASSWORD}
    answer = requests.post(f"{suite.url}/auth/login", json=login, timeout=30)
    assert answer.status_code == 200, answer.text
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return Person(suite.url, session, answer.json())


def test_people_find_everything_again_on_another_database(tmp_path, postgres):
    first = prepare(tmp_path / "first")
    second = prepare(tmp_path / "second", DATABASE_URL=postgres.database())
    third = prepare(tmp_path / "third")
    for suite in (first, second, third):
        suite.folder.mkdir()

    with running(first):
        ada = first.person("ada")
        username = ada("GET", "/auth/me").json()["username"]
        ada.upload(PDF)
        ada("POST", "/agent/query", json={"user_request": "What is 17 * 23?"})
        key = ada("POST", "/auth/api-keys", json=KEY).json()["key"]
        refresh = ada.account["refresh_token"]
        before = findings(first, ada)
        with busy(first) as done:
            wait_until(lambda: len(done) >= 5, seconds=120)
            told = command(first, "backup", tmp_path / "first.backup")
    assert "vectors" in told
    before["scores"] = pytest.approx(before["scores"], abs=1e-3)
    command(first, "verify-backup", tmp_path / "first.backup")

    for suite, file in ((second, "first.backup"), (third, "second.backup")):
        command(suite, "restore", tmp_path / file)
        with running(suite):
            again = signed_in(suite, username)
            assert findings(suite, again) == before
            by_key = requests.get(
                f"{suite.url}/rag/documents", headers={"X-API-Key": key}, timeout=30
            )
            assert by_key.status_code == 200
            assert len(by_key.json()["items"]) == 1
            old = requests.post(
                f"{suite.url}/auth/refresh", json={"refresh_token": refresh}, timeout=30
            )
            assert old.status_code == 401
            assert ada_is_refused(suite, ada)
            # Numbers go on behind those that came with the backup.
            added = again.upload(DATA / "csv-semicolon.csv")
            assert again("DELETE", f"/rag/documents/{added['id']}").status_code == 204
            if suite is second:
                command(suite, "backup", tmp_path / "second.backup")


def ada_is_refused(suite: Suite, person: Person) -> bool:
    """A token from before the restore, which has not expired yet."""
    answer = requests.get(f"{suite.url}/auth/me", headers=dict(person.session.headers), timeout=30)
    return answer.status_code == 401
