"""Build the Dockerfile and run docker-compose.yml with Podman on plain Debian."""

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import urllib3

from tests.containers.machine import ROOT, Machine, install_podman
from tests.containers.suite import PROJECT, ComposedSuite

pytestmark = [
    pytest.mark.containers,
    pytest.mark.slow,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("apt-get") is None,
        reason="Podman is installed and run by root on Debian",
    ),
]
SERVICES = ("gateway", "auth", "agent", "rag", "chat", "admin", "realtime", "packages", "console")
OURS = (*SERVICES, "rag-worker", "chat-worker", "chroma")
IMAGES = {
    "python": "docker.io/library/python:3.11-slim-bookworm",
    "postgres": "docker.io/library/postgres:17-bookworm",
    "valkey": "docker.io/valkey/valkey:9-alpine",
    "prometheus": "docker.io/prom/prometheus:v3.5.0",
}
DOCUMENT = ROOT / "tests" / "data" / "multi_page.pdf"


@pytest.fixture(scope="module")
def machine():
    install_podman()
    # Not under /tmp, which may be in memory.
    created = Machine(Path(tempfile.mkdtemp(prefix="containers-", dir="/var/tmp")))
    try:
        created.make_bases(IMAGES)
        created.build(ROOT / "deploy" / "Dockerfile", "ai-agent-system", ROOT)
        yield created
    finally:
        created.remove()


@pytest.fixture(scope="module")
def suite(machine):
    composed = ComposedSuite(machine)
    composed.start()
    return composed


@pytest.fixture(scope="module")
def send(suite):
    """Return a function that sends requests to the gateway as a new user."""
    http = urllib3.PoolManager(timeout=120)

    def send_request(method, path, **options):
        response = http.request(method, suite.url + path, **options)
        assert response.status < 300, response.data
        return response.json()

    account = {"username": "testuser", "password": "testpass123"}
    token = send_request("POST", "/auth/register", json=account)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return lambda method, path, **options: send_request(method, path, headers=headers, **options)


def test_image_has_no_build_tools(machine):
    look = (
        "python -m pip; command -v pip gcc cc make; find / -xdev -perm -4000 -path '/app/*'; id -u"
    )
    found = machine.podman("run", "--rm", "--entrypoint", "sh", "ai-agent-system", "-c", look)

    assert found.split() == ["10001"]


def test_extras_are_installed_with_a_build_argument(machine):
    extras = ("--target", "packages", "--build-arg", "EXTRAS=otel pgvector")
    machine.build(ROOT / "deploy" / "Dockerfile", "with-extras", ROOT, *extras)

    look = "import langchain_postgres, opentelemetry.sdk"
    machine.podman("run", "--rm", "with-extras", ".venv/bin/python", "-c", look)


def test_document_is_processed_and_cited(send):
    (document,) = send(
        "POST", "/rag/documents?wait=60", fields={"file": (DOCUMENT.name, DOCUMENT.read_bytes())}
    )["documents"]
    assert document["status"] == "ready"

    question = {"user_request": "Who patented the typewriter in 1868?"}
    answer = send("POST", "/agent/query", json=question)

    assert "Christopher Latham Sholes" in answer["response"]
    assert answer["citations"][0]["document_id"] == document["id"]
    assert answer["citations"][0]["page"] == 1


def test_chat_packages_and_console_answer(suite, send):
    message = {"channel": "web", "content": "Who patented the typewriter in 1868?"}
    sent = send("POST", "/chat/message?wait=30", json=message)
    created = send("POST", "/packages", json={"tracking_number": "1Z999AA10123456784"})
    page = urllib3.request("GET", suite.url + "/console/", timeout=30)

    assert sent["status"] == "answered"
    assert "Christopher Latham Sholes" in sent["answer"]["content"]["text"]
    assert created["carrier"] == "ups"
    assert page.status == 200


def test_every_container_is_healthy_and_unprivileged(suite):
    for name, service in suite.services.items():
        container = suite.container(name)
        found = suite.machine.inspect(container)
        assert found["HostConfig"]["ReadonlyRootfs"], name
        assert not found["EffectiveCaps"], name
        if "healthcheck" in service:
            user = suite.machine.podman("exec", container, "id", "-u").strip()
            assert user not in ("", "0"), name
            assert suite.is_healthy(container), name


def test_only_the_gateway_is_published_and_it_reaches_no_database(suite):
    listed = json.loads(suite.machine.podman("ps", "--format", "json"))
    published = {item["Names"][0]: item["Ports"] for item in listed if item["Ports"]}
    assert list(published) == [suite.container("gateway")]
    assert published[suite.container("gateway")][0]["host_ip"] == "127.0.0.1"

    look = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    for store, port in (("postgres", "5432"), ("chroma", "5020")):
        reach = ("python", "-c", look, store, port)
        suite.machine.podman("exec", suite.container("rag"), *reach)
        with pytest.raises(AssertionError, match="gaierror"):
            suite.machine.podman("exec", suite.container("gateway"), *reach)


def test_requests_are_balanced_across_three_instances(suite, send):
    scaled = ("--no-build", "--no-deps", "--scale", "rag=3", "rag")
    suite.compose("up", "--detach", *scaled)
    for number in (1, 2, 3):
        suite.wait_until_healthy(suite.container("rag", number))

    # Names are resolved every three seconds: send requests until all three are used.
    upstreams = Counter()
    for _ in range(60):
        send("GET", "/rag/documents")
        lines = suite.machine.log(suite.container("gateway"))
        upstreams = Counter(re.findall(r'"path":"/rag/documents".*"upstream":"([^"]+)"', lines))
        if len(upstreams) == 3:
            break

    assert len(upstreams) == 3


def test_down_removes_everything(suite):
    for name in OURS:
        suite.machine.podman("stop", "--time", "30", suite.container(name))
        assert suite.machine.inspect(suite.container(name))["State"]["ExitCode"] == 0, name

    # podman-compose treats scaled containers as orphans.
    suite.compose("down", "--volumes", "--remove-orphans")

    assert not suite.machine.podman("ps", "--all", "--quiet")
    assert PROJECT not in suite.machine.podman("volume", "ls", "--quiet")
    assert PROJECT not in suite.machine.podman("network", "ls")
