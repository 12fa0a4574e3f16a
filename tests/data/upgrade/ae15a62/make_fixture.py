"""Create the upgrade fixture: run the suite of commit ae15a62 and use it as users do.

    git clone REPOSITORY /tmp/base && cd /tmp/base && git checkout ae15a62
    ./start_microservices.sh install --tests
    .venv-dev/bin/python PATH/make_fixture.py [OUTPUT_FOLDER]

The current folder must be a checkout of ae15a62. OUTPUT_FOLDER defaults to the folder of this
script. README.md beside it describes the files that are written.
"""

import base64
import contextlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyotp
import requests
from redis import Redis

COMMIT = "ae15a62"
ROOT = Path.cwd()
PDF = ROOT / "tests" / "data" / "multi_page.pdf"
TEN_YEARS = "315360000"
# Test secrets. Tokens and approvals live for ten years, so that the fixture does not expire.
SETTINGS = {
    "ADMIN_PASSWORD": "upgrade-admin-1815",
    "ACCESS_TOKEN_SECONDS": TEN_YEARS,
    "SESSION_SECONDS": TEN_YEARS,
    "AGENT_APPROVAL_SECONDS": TEN_YEARS,
    "RATE_LIMIT_AUTH": "30/minute",
}
CELERY_LIST = "rag:rag.reading"
PASSPHRASE = "upgrade fixture passphrase, for tests only"
USERS = {
    "grace": "upgrade-grace-1906",
    "henry": "upgrade-henry-1890",
    "ivy": "upgrade-ivy-1923",
    "kate": "upgrade-kate-1918",
}
TENANT = "field-office"
PDF_QUESTION = "Who patented the typewriter in 1868?"
FERRY_TEXT = """# Ferry timetable

Ferries leave the northern quay at dawn. The last ferry returns at nine in the evening.

A ticket for the ferry costs four crowns, and children travel free of charge.
"""
QUEUED_TEXT = "The lighthouse keeper of Skerry Rock is called Ansgar Holm.\n"
NOTE_REQUEST = "Save a note: the harbour master's office moved to pier seven"
# Rebuilt or rewritten at each start.
NOT_IN_ARCHIVE = ("models", "run", "valkey/valkey.conf", "valkey/url", "valkey/lock", "mail")


class Client:
    """Send requests through the gateway with one user's credentials."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: dict[str, str] = {}
        self.session: dict[str, Any] = {}

    def send(
        self, method: str, path: str, expect: int | None = None, **options: Any
    ) -> requests.Response:
        """Send a request; exit unless the status is *expect*, by default any 2xx."""
        headers = self.headers | options.pop("headers", {})
        response = requests.request(method, self.url + path, headers=headers, timeout=90, **options)
        if response.status_code != expect if expect else not response.ok:
            sys.exit(f"{method} {path}: {response.status_code} {response.text}")
        return response

    def sign_in(self, path: str, body: dict[str, Any]) -> "Client":
        self.session = self.send("POST", path, json=body).json()
        self.headers["Authorization"] = f"Bearer {self.session['access_token']}"
        return self

    def in_tenant(self, tenant: str) -> "Client":
        other = Client(self.url)
        other.headers = self.headers | {"X-Tenant-ID": tenant}
        return other

    def upload(self, name: str, content: bytes, wait: int, **fields: str) -> dict[str, Any]:
        response = self.send(
            "POST",
            f"/rag/documents?wait={wait}",
            files={"file": (name, content)},
            data=fields,
        )
        return response.json()["documents"][0]


def main() -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True, cwd=ROOT)  # noqa: S607
    if not head.startswith(COMMIT):
        sys.exit(f"The current folder is at {head[:7]}. Run this in a checkout of {COMMIT}.")
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="upgrade-fixture-") as folder:
        create(Path(folder), output)


def create(folder: Path, output: Path) -> None:
    data, logs = folder / "data", folder / "logs"
    ports = {name: str(free_port()) for name in port_variables()}
    environment = clean_environment() | SETTINGS | ports
    environment |= {"DATA_DIR": str(data), "LOG_DIR": str(logs)}
    url = f"http://127.0.0.1:{ports['GATEWAY_PORT']}"
    with running_suite(environment, url, folder):
        facts = use_suite(url)
        found_metrics = metrics(ports)  # before the worker is stopped
        facts |= leave_work_waiting(url, data)
        redis = Redis.from_url((data / "valkey" / "url").read_text())
        snapshot = redis_snapshot(redis)
        names = {
            "redis_keys": key_patterns(snapshot),
            "celery": celery_names(redis),
            "metrics": found_metrics,
            "log_fields": log_fields(logs),
        }
        (folder / "passphrase").write_text(PASSPHRASE)
        seal = ("--passphrase-file", str(folder / "passphrase"))
        for name, options in (("plain.backup", ()), ("sealed.backup", seal)):
            (output / name).unlink(missing_ok=True)
            command = [sys.executable, "-m", "backend", "backup", str(output / name), *options]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            (output / name).chmod(0o644)
    secrets = {each.name: each.read_text().strip() for each in (data / "secrets").iterdir()}
    facts["metrics_key"] = metrics_key(secrets["SECRET_KEY"])
    write_json(output / "facts.json", facts)
    write_json(output / "names.json", names)
    write_json(output / "redis.json", snapshot)
    lines = [f"{name}={value}\n" for name, value in SETTINGS.items()]
    (output / "settings.env").write_text("# Test secrets and settings.\n" + "".join(lines))
    pack(data, output / "data.tar.xz")


def use_suite(url: str) -> dict[str, Any]:
    """Act as several users; return the facts that they must find again."""
    admin = sign_in_admin(url)
    people = {
        name: Client(url).sign_in(
            "/auth/register",
            {
                "username": name,
                "password": password,
                "email": f"{name}@example.org",
                "display_name": name.title(),
            },
        )
        for name, password in USERS.items()
    }
    ids = {name: client.session["user"]["id"] for name, client in people.items()}
    admin.send("PUT", "/auth/roles/auditor", json={"permissions": ["audit:read"]})
    tenant = admin.send(
        "POST", "/auth/tenants", json={"name": "Field Office", "slug": TENANT}
    ).json()
    for name in ("grace", "henry"):
        admin.send(
            "PUT", f"/auth/tenants/{tenant['id']}/members/{ids[name]}", json={"roles": ["user"]}
        )
    # Memberships are in the access token, so sign in again.
    grace = sign_in(url, "grace")
    grace.send("PATCH", "/auth/me", json={"preferences": {"theme": "dark"}})
    henry = sign_in(url, "henry")
    facts: dict[str, Any] = {
        "commit": COMMIT,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "users": {
            name: {
                "id": ids[name],
                "username": name,
                "password": password,
                "email": f"{name}@example.org",
                "display_name": name.title(),
            }
            for name, password in USERS.items()
        },
        "admin": {"username": "admin", "password": SETTINGS["ADMIN_PASSWORD"]},
        "passphrase": PASSPHRASE,
        "tenant": {
            "id": tenant["id"],
            "slug": TENANT,
            "name": "Field Office",
            "members": ["grace", "henry"],
        },
        "preferences": {"theme": "dark"},
        "role": {"name": "auditor", "permissions": ["audit:read"]},
    }
    facts |= use_library(grace, henry, ids["henry"])
    facts |= use_agent(grace)
    facts |= use_accounts(url, people, grace, henry)
    stats(admin)
    return facts


def leave_work_waiting(url: str, data: Path) -> dict[str, Any]:
    """Queue a document, and leave rate limits and counts in Redis."""
    grace = sign_in(url, "grace")
    facts = queue_document(grace, data) | {"stats": stats(sign_in_admin(url))}
    # Rate limits live in Redis for as long as it takes to earn the requests back: seconds.
    for _ in range(20):
        grace.send("GET", "/auth/me")
    sign_in(url, "kate")
    return facts


def stats(admin: Client) -> dict[str, Any]:
    """What administrators see, once the gateway has written its counts of the day to Redis."""
    time.sleep(3)
    seen = admin.send("GET", "/admin/stats?days=1").json()
    return {name: seen[name] for name in ("since", "users", "documents", "requests")}


def sign_in_admin(url: str) -> Client:
    body = {"username": "admin", "password": SETTINGS["ADMIN_PASSWORD"]}
    return Client(url).sign_in("/auth/login", body)


def sign_in(url: str, name: str, **more: str) -> Client:
    body = {"username": name, "password": USERS[name]} | more
    return Client(url).sign_in("/auth/login", body)


def use_library(grace: Client, henry: Client, henry_id: str) -> dict[str, Any]:
    """Upload documents; share one collection with henry by a grant, in the shared tenant."""
    grace.send("POST", "/rag/collections", json={"name": "history", "description": "Machines"})
    grace.send("POST", "/rag/collections", json={"name": "empty"})
    pdf = grace.upload(
        PDF.name,
        PDF.read_bytes(),
        wait=60,
        collection="history",
        title="The word processor",
        metadata=json.dumps({"shelf": "A7"}),
    )
    failed = grace.upload("damaged.pdf", PDF.read_bytes()[:40_000], wait=60)
    if failed["status"] != "failed":
        sys.exit(f"damaged.pdf: expected the status failed, not {failed['status']}")
    shared = grace.in_tenant(TENANT)
    shared.send("POST", "/rag/collections", json={"name": "expedition"})
    ferry = shared.upload("ferry.md", FERRY_TEXT.encode(), wait=60, collection="expedition")
    shared.send("PUT", f"/rag/collections/expedition/grants/{henry_id}", json={"access": "read"})
    henry.in_tenant(TENANT).send("GET", f"/rag/documents/{ferry['id']}")
    search = grace.send("POST", "/rag/search", json={"query": PDF_QUESTION}).json()["results"]
    answer = grace.send("POST", "/rag/query", json={"query": PDF_QUESTION}).json()
    return {
        "collections": {
            "grace": ["empty", "history"],
            "field-office": {"expedition": {"owner": "grace", "grants": {"henry": "read"}}},
        },
        "documents": {
            "pdf": document_facts(pdf) | {"collection": "history"},
            "ferry": document_facts(ferry) | {"collection": "expedition"},
            "failed": document_facts(failed),
        },
        "search": {
            "query": PDF_QUESTION,
            "results": [
                {name: hit[name] for name in ("chunk_id", "document_id", "page", "start", "end")}
                for hit in search
            ],
        },
        "answer": {
            "query": PDF_QUESTION,
            "answer": answer["answer"],
            "citations": answer["citations"],
        },
    }


def document_facts(document: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "filename", "title", "sha256", "size_bytes", "pages", "chunks", "status")
    return {name: document.get(name) for name in (*names, "metadata")}


def use_agent(grace: Client) -> dict[str, Any]:
    """Two conversations: one with a branch, feedback and kept events, one that waits."""
    query = {"user_request": PDF_QUESTION}
    cited = grace.send("POST", "/agent/query", json=query).json()
    session = f"/agent/sessions/{cited['session_id']}"
    grace.send("POST", f"{session}/feedback", json={"thumb": "up", "text": "Well quoted."})
    computed = grace.send(
        "POST",
        "/agent/query",
        json={"user_request": "What is 17 * 23?", "session_id": cited["session_id"]},
    ).json()
    request_id = grace.send("GET", session).json()["messages"][2]["id"]
    edited = {"user_request": "What is 17 * 24?"}
    grace.send("POST", f"{session}/messages/{request_id}/edit", json=edited)
    branches = grace.send("GET", session).json()
    streamed = grace.send(
        "POST", "/agent/query", json={"user_request": "What is 12 * 12?", "stream": True}
    ).text
    stream_session = re.search(r'"session_id": ?"([^"]+)"', streamed)
    assert stream_session is not None
    waiting = grace.send("POST", "/agent/query", json={"user_request": NOTE_REQUEST}).json()
    if not waiting["waiting"]:
        sys.exit(f"No tool call waits for approval: {waiting}")
    persona = {
        "name": "harbour master",
        "system_prompt": "Answer as the harbour master of a small port.",
        "description": "Knows the tides",
        "temperature": 0.3,
        "max_tokens": 500,
    }
    made = grace.send("POST", "/agent/personas", json=persona).json()
    return {
        "conversation": {
            "id": cited["session_id"],
            "title": branches["title"],
            "messages": [
                {name: each[name] for name in ("id", "role", "content", "status")}
                for each in branches["messages"]
            ],
            "edited_alternatives": branches["messages"][2]["alternatives"],
            "first_answer": {"response": cited["response"], "citations": cited["citations"]},
            "first_branch": {"request": request_id, "response": computed["response"]},
        },
        "feedback": {"message_id": cited["message_id"], "thumb": "up", "text": "Well quoted."},
        "streamed": {"session_id": stream_session[1], "text": streamed},
        "waiting": {
            "session_id": waiting["session_id"],
            "approval_id": waiting["approval"]["id"],
            "tool": waiting["waiting"][0]["tool"],
            "arguments": waiting["waiting"][0]["arguments"],
        },
        "persona": persona | {"id": made["id"]},
    }


def use_accounts(
    url: str, people: dict[str, Client], grace: Client, henry: Client
) -> dict[str, Any]:
    """API keys, sessions that stay and sessions that end, a second factor, failed sign-ins."""
    wish = {"name": "reader", "permissions": ["rag:read", "agent:query"]}
    key = grace.send("POST", "/auth/api-keys", json=wish).json()
    deleted = grace.send("POST", "/auth/api-keys", json=wish | {"name": "deleted"}).json()
    Client(url).send("GET", "/auth/me", headers={"X-API-Key": deleted["key"]})
    grace.send("DELETE", f"/auth/api-keys/{deleted['id']}")

    logged_out = sign_in(url, "grace")
    logged_out.send("POST", "/auth/logout")
    rotated = sign_in(url, "grace")
    old = rotated.session["refresh_token"]
    rotated.sign_in("/auth/refresh", {"refresh_token": old})
    people["ivy"].send("POST", "/auth/logout/all")

    secret = henry.send("POST", "/auth/mfa/totp").json()["secret"]
    code = pyotp.TOTP(secret).now()
    codes = henry.send("POST", "/auth/mfa/totp/confirm", json={"code": code}).json()
    for _ in range(3):
        body = {"username": "kate", "password": "not the password"}
        Client(url).send("POST", "/auth/login", 401, json=body)
    tokens = ("access_token", "refresh_token")
    return {
        "api_key": key["key"],
        "api_key_permissions": wish["permissions"],
        "deleted_api_key": deleted["key"],
        "sessions": {
            "grace_active": {name: grace.session[name] for name in tokens},
            "grace_logged_out": {name: logged_out.session[name] for name in tokens},
            "grace_rotated": {
                "used_refresh_token": old,
                "refresh_token": rotated.session["refresh_token"],
            },
            "ivy_logged_out_everywhere": {name: people["ivy"].session[name] for name in tokens},
        },
        "totp": {"user": "henry", "secret": secret, "recovery_codes": codes["recovery_codes"]},
    }


def queue_document(grace: Client, data: Path) -> dict[str, Any]:
    """Stop the worker and upload, until one document waits and a Celery message is in Redis."""
    state = json.loads((data / "run" / "state.json").read_text())
    worker = next(each for each in state["programs"] if each["name"] == "rag-worker")
    os.kill(worker["process"]["pid"], signal.SIGSTOP)
    redis = Redis.from_url((data / "valkey" / "url").read_text())
    queued = grace.upload("keeper.txt", QUEUED_TEXT.encode(), wait=0)
    # The stopped worker's connection swallows the first message. A reindex sends another.
    for _ in range(60):
        if redis.llen(CELERY_LIST):
            break
        grace.send("POST", f"/rag/documents/{queued['id']}/reindex")
        time.sleep(1)
    else:
        sys.exit("No Celery message stays in Redis.")
    shown = grace.send("GET", f"/rag/documents/{queued['id']}").json()
    if shown["status"] != "queued":
        sys.exit(f"keeper.txt: expected the status queued, not {shown['status']}")
    return {
        "queued": document_facts(shown)
        | {"query": "Who is the lighthouse keeper of Skerry Rock?", "answer": "Ansgar Holm"}
    }


def redis_snapshot(redis: Redis) -> list[dict[str, Any]]:
    """Every key with its type, its remaining lifetime and its DUMP payload."""
    entries = []
    for name in sorted(redis.scan_iter("*")):
        payload = redis.dump(name)
        if payload is None:
            continue
        kind = redis.type(name).decode()
        entries.append(
            {
                "key": name.decode(),
                "type": kind,
                "ttl_ms": max(redis.pttl(name), 0),
                "dump": base64.b64encode(payload).decode(),
                "shown": shown_value(redis, name, kind),
            }
        )
    return entries


def shown_value(redis: Redis, name: bytes, kind: str) -> str:
    """The value for people who review the snapshot, cut to 300 characters."""
    readers: dict[str, Callable[[], Any]] = {
        "string": lambda: redis.get(name),
        "hash": lambda: redis.hgetall(name),
        "list": lambda: redis.lrange(name, 0, -1),
        "set": lambda: redis.smembers(name),
        "zset": lambda: redis.zrange(name, 0, -1, withscores=True),
        "stream": lambda: redis.xrange(name, count=3),
    }
    return repr(readers[kind]())[:300]


def key_patterns(snapshot: list[dict[str, Any]]) -> list[str]:
    """The names of the keys as glob patterns: `*` for an id, a date or a limit's value."""
    patterns = set()
    for entry in snapshot:
        name = re.sub(r"(?<=LIMITER/).*", "*", entry["key"])
        name = re.sub(r"\d{4}-\d\d-\d\d|\d+\.\d+\.\d+\.\d+", "*", name)
        patterns.add(re.sub(r"[0-9a-f]{32}", "*", name))
    return sorted(patterns)


def celery_names(redis: Redis) -> dict[str, Any]:
    """The list that the worker reads, its task's name, and a whole message."""
    message = json.loads(redis.lindex(CELERY_LIST, 0))
    return {
        "redis_list": CELERY_LIST,
        "unacknowledged": "rag:unacked",
        "task": message["headers"]["task"],
        "message": message,
    }


def metrics(ports: dict[str, str]) -> dict[str, dict[str, list[str]]]:
    """By process: each metric's sample names with their labels."""
    found = {}
    for variable, port in sorted(ports.items()):
        try:
            text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        except requests.RequestException:
            continue
        samples: dict[str, set[str]] = {}
        for line in text.splitlines():
            if match := re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line):
                labels = re.findall(r'(\w+)="', match[2] or "")
                samples.setdefault(match[1], set()).update(labels)
        if samples:
            found[variable] = {name: sorted(labels) for name, labels in sorted(samples.items())}
    return found


def log_fields(logs: Path) -> dict[str, list[str]]:
    """By service: the fields of the JSON line that says most about a request."""
    fields: dict[str, set[str]] = {}
    for file in sorted(logs.glob("*.log")):
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and {"request_id", "status"} <= set(entry):
                    known = fields.get(entry["service"], set())
                    fields[entry["service"]] = max(known, set(entry), key=len)
    return {service: sorted(names) for service, names in sorted(fields.items())}


def metrics_key(secret: str) -> str:
    return "mtr_" + hmac.digest(secret.encode(), b"ai-agent-system/metrics", "sha256").hex()


def port_variables() -> list[str]:
    text = (ROOT / ".env.example").read_text()
    return re.findall(r"^# ([A-Z_]+_PORT)=5\d{3}$", text, re.MULTILINE)


def clean_environment() -> dict[str, str]:
    """The environment without any setting of the suite."""
    text = (ROOT / ".env.example").read_text()
    settings = set(re.findall(r"^# ([A-Z_]+)=", text, re.MULTILINE))
    return {name: value for name, value in os.environ.items() if name not in settings}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running_suite(environment: dict[str, str], url: str, folder: Path) -> Iterator[None]:
    with (folder / "screen.txt").open("w") as screen:
        process = subprocess.Popen(
            [str(ROOT / "start_microservices.sh")],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_healthy(url, process, folder)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            sys.exit((folder / "screen.txt").read_text())
        with contextlib.suppress(requests.RequestException, ValueError):
            if requests.get(f"{url}/health", timeout=5).json().get("status") == "healthy":
                return
        time.sleep(0.2)
    sys.exit("The suite is not healthy after two minutes.")


def pack(data: Path, archive: Path) -> None:
    """Write the data folder to *archive*, without what each start makes again."""
    for name in NOT_IN_ARCHIVE:
        path = data / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with tarfile.open(archive, "w:xz") as out:
        out.add(data, "data", filter=without_owner)


def without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
