"""Open a data folder, Redis contents and backups written by commit ae15a62 with the current code.

tests/data/upgrade/ae15a62/README.md describes the fixture. The tests use only what operators and
clients use: the start script, `python -m backend`, HTTP, metrics, logs and Redis keys.
"""

import base64
import contextlib
import fnmatch
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest
import requests
from redis import Redis

from tests import servers

pytestmark = [pytest.mark.suite, pytest.mark.slow, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[3]
FIXTURE = ROOT / "tests" / "data" / "upgrade" / "ae15a62"
FACTS: dict[str, Any] = json.loads((FIXTURE / "facts.json").read_text())
NAMES: dict[str, Any] = json.loads((FIXTURE / "names.json").read_text())
START_SECONDS = 120
# Lists of messages are empty as soon as a worker has read them.
# Keys of Celery: only workers of other hosts use it.
VOLATILE_KEYS = {
    NAMES["celery"]["redis_list"],
    "rag:_kombu.binding.rag.reading",
    "rag:_kombu.binding_permanent.rag.reading",
}


@dataclass
class Caller:
    """Sends requests through the gateway with the given headers."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = self.headers | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)

    def get(self, path: str) -> Any:
        response = self("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        response = self("POST", path, json=body)
        assert response.status_code in (200, 201), response.text
        return response.json()


@dataclass
class Installation:
    """A suite with a folder and ports of its own, under the settings of the fixture."""

    folder: Path
    environment: dict[str, str]
    callers: dict[str, Caller] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['GATEWAY_PORT']}"

    def bearer(self, token: str) -> Caller:
        return Caller(self.url, {"Authorization": f"Bearer {token}"})

    def api_key(self, key: str) -> Caller:
        return Caller(self.url, {"X-API-Key": key})

    def login(self, name: str, **more: str) -> requests.Response:
        user = FACTS["admin"] if name == "admin" else FACTS["users"][name]
        body = {"username": user["username"], "password": user["password"]} | more
        return Caller(self.url)("POST", "/auth/login", json=body)

    def signed_in(self, name: str) -> Caller:
        """The user *name*, who signs in once for all tests."""
        if name not in self.callers:
            totp = FACTS["totp"]
            more = {"totp": pyotp.TOTP(totp["secret"]).now()} if name == totp["user"] else {}
            response = self.login(name, **more)
            assert response.status_code == 200, response.text
            self.callers[name] = self.bearer(response.json()["access_token"])
        return self.callers[name]

    def in_tenant(self, name: str) -> Caller:
        """The user *name* in the tenant that several users share."""
        caller = self.signed_in(name)
        return Caller(caller.url, caller.headers | {"X-Tenant-ID": FACTS["tenant"]["slug"]})

    def command(self, *words: object) -> str:
        """Run `python -m backend WORDS` and return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "backend", *map(str, words)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def redis(self) -> Iterator[Redis]:
        """The Valkey server that the start script runs."""
        url = (self.data / "valkey" / "url").read_text()
        with Redis.from_url(url, decode_responses=True) as redis:
            yield redis

    def logs(self) -> Iterator[dict[str, Any]]:
        for file in (self.folder / "logs").glob("*.log"):
            for line in file.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict):
                        yield entry

    @contextlib.contextmanager
    def running(self) -> Iterator["Installation"]:
        screen = self.folder / "screen.txt"
        with screen.open("w") as out:
            process = subprocess.Popen(
                [str(ROOT / "start_microservices.sh")],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def is_healthy() -> bool:
            assert process.poll() is None, screen.read_text()
            with contextlib.suppress(requests.RequestException, ValueError):
                health = requests.get(f"{self.url}/health", timeout=5).json()
                return bool(health["status"] == "healthy")
            return False

        try:
            servers.wait_until(is_healthy, START_SECONDS)
            yield self
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def prepare(folder: Path) -> Installation:
    """An empty installation in *folder* that is not started."""
    example = (ROOT / ".env.example").read_text()
    settings = set(re.findall(r"^# ([A-Z_]+)=", example, re.MULTILINE))
    ports = re.findall(r"^# ([A-Z_]+_PORT)=[58]\d{3}$", example, re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    lines = (FIXTURE / "settings.env").read_text().splitlines()
    environment |= dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    environment |= {name: str(servers.free_port()) for name in ports}
    # Enough for tests that poll, and few enough that test_redis_keys_keep_their_names sees it.
    environment |= {"RATE_LIMIT_API": "1000/minute"}
    environment |= {"DATA_DIR": str(folder / "data"), "LOG_DIR": str(folder / "logs")}
    return Installation(folder, environment)


def load_redis_snapshot(folder: Path) -> None:
    """Restore the keys of the snapshot, with their remaining lifetimes, into *folder*'s Valkey."""
    today = datetime.now(UTC).date().isoformat()
    with servers.valkey(folder, settings=["--appendonly", "yes"]) as server:
        for entry in json.loads((FIXTURE / "redis.json").read_text()):
            # The statistics then count the requests of the snapshot as requests of today.
            key = entry["key"].replace(FACTS["stats"]["since"], today)
            payload = base64.b64decode(entry["dump"])
            server.client.restore(key, entry["ttl_ms"], payload, replace=True)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The current code on the data folder and the Redis contents of ae15a62."""
    installation = prepare(tmp_path_factory.mktemp("upgraded"))
    with tarfile.open(FIXTURE / "data.tar.xz") as archive:
        archive.extractall(installation.folder, filter="data")
    load_redis_snapshot(installation.data / "valkey")
    with installation.running():
        yield installation


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The current code on an empty installation into which the sealed backup was restored."""
    installation = prepare(tmp_path_factory.mktemp("restored"))
    passphrase = installation.folder / "passphrase"
    passphrase.write_text(FACTS["passphrase"])
    installation.command("restore", FIXTURE / "sealed.backup", "--passphrase-file", passphrase)
    with installation.running():
        yield installation


@pytest.fixture(scope="module")
def used(upgraded: Installation) -> Installation:
    """The upgraded installation after requests that each service counts and logs."""
    grace = upgraded.signed_in("grace")
    for request in (FACTS["answer"]["query"], "What is 17 * 23?"):
        grace.post("/agent/query", {"user_request": request})
    grace.post("/rag/query", {"query": FACTS["answer"]["query"]})
    text = {"file": ("tide.txt", b"The tide is high at noon.")}
    assert grace("POST", "/rag/documents?wait=60", files=text).status_code in (200, 201)
    upgraded.login("kate", password="not the password")
    upgraded.signed_in("admin").get("/admin/stats?days=1")
    return upgraded


@pytest.fixture(
    scope="module", params=["upgraded", pytest.param("restored", marks=pytest.mark.slow)]
)
def installation(request: pytest.FixtureRequest) -> Installation:
    """Each way in which an installation of ae15a62 reaches the current code."""
    found: Installation = request.getfixturevalue(request.param)
    return found


def test_login_accepts_user_name_and_email_address(installation):
    email = FACTS["users"]["grace"]["email"]

    assert installation.login("kate").status_code == 200
    by_email = installation.login("grace", username=email)

    assert by_email.status_code == 200
    assert by_email.json()["user"]["id"] == FACTS["users"]["grace"]["id"]


def test_login_requires_second_factor_that_was_enrolled_before(installation):
    name = FACTS["totp"]["user"]

    without_code = installation.login(name)

    assert (without_code.status_code, without_code.json()["code"]) == (401, "totp_required")
    assert installation.signed_in(name).get("/auth/me")["username"] == name


def test_login_accepts_unused_recovery_code(installation):
    code = FACTS["totp"]["recovery_codes"][0]

    assert installation.login(FACTS["totp"]["user"], totp=code).status_code == 200


def test_profile_preferences_and_memberships_are_kept(installation):
    user, tenant = FACTS["users"]["grace"], FACTS["tenant"]

    me = installation.signed_in("grace").get("/auth/me")

    for name in ("id", "username", "email", "display_name"):
        assert me[name] == user[name]
    assert me["preferences"] == FACTS["preferences"]
    assert tenant["slug"] in {item["slug"] for item in me["tenants"]}


def test_administrator_sees_users_and_custom_role(installation):
    admin = installation.signed_in("admin")

    users = {item["username"] for item in admin.get("/auth/users")["items"]}
    roles = {item["name"]: item["permissions"] for item in admin.get("/auth/roles")["items"]}

    assert users >= {"admin", *FACTS["users"]}
    assert roles[FACTS["role"]["name"]] == FACTS["role"]["permissions"]


def test_own_activity_contains_records_from_before_upgrade(installation):
    items = installation.signed_in("grace").get("/auth/me/activity?limit=200")["items"]

    assert min(item["at"] for item in items) <= FACTS["made_at"]


def test_api_key_is_accepted_with_its_permissions(installation):
    caller = installation.api_key(FACTS["api_key"])

    documents = caller.get("/rag/documents")["items"]
    upload = caller("POST", "/rag/documents", files={"file": ("a.txt", b"not allowed")})

    assert FACTS["documents"]["pdf"]["id"] in {item["id"] for item in documents}
    assert upload.status_code == 403


def test_deleted_api_key_is_rejected(installation):
    caller = installation.api_key(FACTS["deleted_api_key"])

    assert caller("GET", "/rag/documents").status_code == 401


def test_documents_are_listed_with_title_metadata_and_status(installation):
    listed = installation.signed_in("grace").get("/rag/documents")["items"]

    by_id = {item["id"]: item for item in listed}
    for name in ("pdf", "failed"):
        expected = FACTS["documents"][name]
        assert {key: by_id[expected["id"]][key] for key in expected} == expected


def test_original_file_is_downloaded_byte_for_byte(installation):
    pdf = FACTS["documents"]["pdf"]

    content = installation.signed_in("grace")("GET", f"/rag/documents/{pdf['id']}/content").content

    assert hashlib.sha256(content).hexdigest() == pdf["sha256"]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_search_returns_the_chunk_that_answers_first(installation, mode):
    query, (citation,) = FACTS["search"]["query"], FACTS["answer"]["citations"]

    found = installation.signed_in("grace").post(
        "/rag/search", {"query": query, "collection": "history", "mode": mode}
    )

    first = found["results"][0]
    assert first["document_id"] == citation["document_id"]
    assert first["start"] <= citation["start"] < citation["end"] <= first["end"]


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [("/rag/query", "query", "answer"), ("/agent/query", "user_request", "response")],
)
def test_answer_cites_the_document(installation, path, body, answer):
    (expected,) = FACTS["answer"]["citations"]
    grace = installation.signed_in("grace")

    found = grace.post(path, {body: FACTS["answer"]["query"]})

    assert "Christopher Latham Sholes" in found[answer]
    first = found["citations"][0]
    assert (first["document_id"], first["page"]) == (expected["document_id"], expected["page"])
    pages = grace.get(f"/rag/documents/{expected['document_id']}/text")["pages"]
    text = "".join(page["text"] for page in pages)
    assert "Christopher Latham Sholes" in first["quote"]
    assert first["quote"] == text[first["start"] : first["end"]]


def test_collections_are_kept(installation):
    items = installation.signed_in("grace").get("/rag/collections")["items"]

    assert {item["name"] for item in items} >= set(FACTS["collections"]["grace"])


def test_grant_still_opens_the_shared_collection(installation):
    ferry, henry = FACTS["documents"]["ferry"], FACTS["users"]["henry"]
    path = f"/rag/documents/{ferry['id']}"

    shared = installation.in_tenant("grace").get("/rag/collections/expedition")

    assert shared["grants"] == {henry["id"]: "read"}
    assert installation.in_tenant("henry").get(path)["filename"] == ferry["filename"]
    assert installation.signed_in("kate")("GET", path).status_code == 404


def test_conversation_is_shown_with_its_branches(installation):
    expected = FACTS["conversation"]
    path = f"/agent/sessions/{expected['id']}"
    grace = installation.signed_in("grace")

    shown = grace.get(path)
    first = expected["first_branch"]
    other = grace("PATCH", path, json={"active_message_id": first["request"]}).json()

    names = expected["messages"][0]
    assert shown["title"] == expected["title"]
    messages = [{name: item[name] for name in names} for item in shown["messages"]]
    assert messages[: len(expected["messages"])] == expected["messages"]
    assert shown["messages"][2]["alternatives"] == expected["edited_alternatives"]
    assert other["messages"][-1]["content"] == first["response"]
    last = expected["messages"][-1]["id"]
    assert grace("PATCH", path, json={"active_message_id": last}).status_code == 200


def test_conversation_continues_with_a_new_request(installation):
    conversation = FACTS["conversation"]
    path = f"/agent/sessions/{conversation['id']}"
    grace = installation.signed_in("grace")

    answer = grace.post(
        "/agent/query", {"user_request": "What is 6 * 7?", "session_id": conversation["id"]}
    )

    assert answer["response"] == "6 * 7 = 42"
    assert len(grace.get(path)["messages"]) == len(conversation["messages"]) + 2


def test_feedback_is_kept(installation):
    path = f"/agent/sessions/{FACTS['conversation']['id']}/feedback"

    (found,) = installation.signed_in("grace").get(path)["items"]

    assert {name: found[name] for name in FACTS["feedback"]} == FACTS["feedback"]


def test_persona_is_kept(installation):
    expected = FACTS["persona"]

    shown = installation.signed_in("grace").get(f"/agent/personas/{expected['id']}")

    assert {name: shown[name] for name in expected} == expected


def test_queued_document_is_processed(installation):
    queued = FACTS["queued"]
    grace = installation.signed_in("grace")

    def is_ready() -> bool:
        status = grace.get(f"/rag/documents/{queued['id']}")["status"]
        assert status != "failed"
        return bool(status == "ready")

    servers.wait_until(is_ready, seconds=60)

    answer = grace.post("/rag/query", {"query": queued["query"]})
    assert queued["answer"] in answer["answer"]
    assert answer["citations"][0]["document_id"] == queued["id"]


def test_waiting_tool_call_runs_when_approved(installation):
    waiting = FACTS["waiting"]
    path = f"/agent/sessions/{waiting['session_id']}"
    grace = installation.signed_in("grace")
    assert grace.get(path)["state"] == "waiting"

    decision = {"decision": "approve", "approval_id": waiting["approval_id"]}
    answer = grace.post(f"{path}/resume", decision)

    (step,) = answer["steps"]
    assert (step["tool"], step["status"]) == (waiting["tool"], "ok")
    assert step["arguments"] == waiting["arguments"]
    filenames = {item["filename"] for item in grace.get("/rag/documents")["items"]}
    assert any(name.endswith(".md") for name in filenames)


def test_active_session_stays_valid(upgraded):
    tokens = FACTS["sessions"]["grace_active"]
    caller = upgraded.bearer(tokens["access_token"])

    for path in ("/auth/me", "/rag/documents", "/agent/sessions"):
        assert caller("GET", path).status_code == 200
    refreshed = caller("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})

    assert refreshed.status_code == 200
    assert upgraded.bearer(refreshed.json()["access_token"]).get("/auth/me")["username"] == "grace"


@pytest.mark.parametrize("session", ["grace_logged_out", "ivy_logged_out_everywhere"])
def test_revoked_session_stays_revoked(upgraded, session):
    tokens = FACTS["sessions"][session]
    caller = upgraded.bearer(tokens["access_token"])

    for path in ("/auth/me", "/rag/documents", "/agent/sessions"):
        assert caller("GET", path).status_code == 401
    refreshed = Caller(upgraded.url)(
        "POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
    )
    assert refreshed.status_code == 401


def test_reuse_of_an_old_refresh_token_revokes_its_session(upgraded):
    tokens = FACTS["sessions"]["grace_rotated"]
    codes = []
    for name in ("used_refresh_token", "refresh_token"):
        body = {"refresh_token": tokens[name]}
        answer = Caller(upgraded.url)("POST", "/auth/refresh", json=body)
        codes.append((answer.status_code, answer.json()["code"]))

    assert codes[0] == (401, "refresh_reused")
    assert codes[1][0] == 401


def test_stream_resumes_from_events_in_redis(upgraded):
    streamed = FACTS["streamed"]
    events = streamed["text"].split("\n\n")

    rest = upgraded.bearer(FACTS["sessions"]["grace_active"]["access_token"])(
        "GET", f"/agent/sessions/{streamed['session_id']}/events", headers={"Last-Event-ID": "2"}
    )

    assert rest.status_code == 200
    assert rest.text.split("\n\n") == events[2:]


def test_statistics_include_counts_from_before_upgrade(upgraded):
    before = FACTS["stats"]

    now = upgraded.signed_in("admin").get("/admin/stats?days=1")

    assert now["unavailable"] == []
    for name in ("users", "documents", "requests"):
        assert now[name] >= before[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grace_active", "grace_logged_out"])
def test_restored_installation_rejects_sessions_of_the_backup(restored, name):
    tokens = FACTS["sessions"][name]

    used = restored.bearer(tokens["access_token"])("GET", "/auth/me")
    refreshed = Caller(restored.url)(
        "POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
    )

    assert (used.status_code, refreshed.status_code) == (401, 401)


def test_plain_backup_restores_documents(tmp_path):
    installation = prepare(tmp_path)

    installation.command("restore", FIXTURE / "plain.backup")

    files = (file for file in installation.data.rglob("*") if file.is_file())
    checksums = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert {item["sha256"] for item in FACTS["documents"].values()} <= checksums


def test_celery_worker_consumes_message_of_the_old_version(upgraded):
    """The worker that the start script runs is woken otherwise; this is one of another host."""
    celery = NAMES["celery"]
    log = upgraded.folder / "logs" / "celery_worker.log"
    variables = {
        "REDIS_URL": (upgraded.data / "valkey" / "url").read_text(),
        "CHROMA_URL": f"unix:{upgraded.data}/rag/vectors.sock",
        "RAG_WORKER_PORT": str(servers.free_port()),
    }
    with log.open("w") as out, upgraded.redis() as redis:
        worker = subprocess.Popen(
            [sys.executable, "-m", "backend.services.rag.worker"],
            cwd=ROOT,
            env=upgraded.environment | variables,
            stdout=out,
            stderr=out,
        )
        try:
            redis.lpush(celery["redis_list"], json.dumps(celery["message"]))
            servers.wait_until(lambda: not redis.llen(celery["redis_list"]), START_SECONDS)
            servers.wait_until(lambda: not redis.hlen(celery["unacknowledged"]))
        finally:
            worker.terminate()
            worker.wait(timeout=30)

    messages = [str(entry.get("message")) for entry in upgraded.logs()]
    assert not [item for item in messages if celery["task"] in item or "unregistered" in item]


@pytest.mark.slow
def test_redis_keys_keep_their_names(restored):
    """Use an installation whose Redis was empty, until every kind of key was seen."""
    keys: set[str] = set()
    restored.login("kate", password="not the password")
    tokens = restored.login("ivy").json()
    ivy = restored.bearer(tokens["access_token"])
    key = ivy.post("/auth/api-keys", {"name": "short", "permissions": ["rag:read"]})
    assert restored.api_key(key["key"])("GET", "/rag/documents").status_code == 200
    ivy.post("/agent/query", {"user_request": "What is 2 + 2?"})
    assert ivy("DELETE", f"/auth/api-keys/{key['id']}").status_code == 204
    for _ in range(20):  # rate limits are kept until the requests are earned back
        ivy.get("/auth/me")
    assert restored.login("kate").status_code == 200
    with restored.redis() as redis:

        def missing() -> list[str]:
            keys.update(redis.scan_iter("*"))
            patterns = set(NAMES["redis_keys"]) - VOLATILE_KEYS
            return [item for item in patterns if not fnmatch.filter(keys, item)]

        missing()
        assert ivy("POST", "/auth/logout").status_code == 204
        assert restored.signed_in("henry")("POST", "/auth/logout/all").status_code == 204
        with contextlib.suppress(AssertionError):
            servers.wait_until(lambda: not missing(), seconds=5)
        assert missing() == []


@pytest.mark.parametrize("port_variable", NAMES["metrics"])
def test_metrics_keep_their_names_and_labels(used, port_variable):
    url = f"http://127.0.0.1:{used.environment[port_variable]}/metrics"
    headers = {"Authorization": f"Bearer {FACTS['metrics_key']}"}

    response = requests.get(url, headers=headers, timeout=10)

    assert response.status_code == 200
    found = samples(response.text)
    expected = NAMES["metrics"][port_variable]
    assert [name for name in expected if name not in found] == []
    assert {
        name: labels for name, labels in expected.items() if not set(labels) <= found[name]
    } == {}


@pytest.mark.parametrize("service", NAMES["log_fields"])
def test_request_log_keeps_its_fields(used, service):
    expected = set(NAMES["log_fields"][service])

    lines = [set(entry) for entry in used.logs() if entry.get("service") == service]

    assert any(expected <= fields for fields in lines)


def samples(text: str) -> dict[str, set[str]]:
    """The sample names of a Prometheus page with their label names."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))
    return found
