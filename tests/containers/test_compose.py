"""The Dockerfile built and docker-compose.yml run for real, with Podman on a bare Debian."""

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import urllib3

from tests.containers.machine import ROOT, Machine, install
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
OURS = ("gateway", "auth", "agent", "rag", "admin", "rag-worker", "chroma")
IMAGES = {
    "python": "docker.io/library/python:3.11-slim-bookworm",
    "postgres": "docker.io/library/postgres:17-bookworm",
    "valkey": "docker.io/valkey/valkey:9-alpine",
    "prometheus": "docker.io/prom/prometheus:v3.5.0",
}
DOCUMENT = ROOT / "tests" / "data" / "multi_page.pdf"


@pytest.fixture(scope="module")
def machine():
    install()
    # Not under /tmp, which may be in memory.
    made = Machine(Path(tempfile.mkdtemp(prefix="containers-", dir="/var/tmp")))
    try:
        made.make_bases(IMAGES)
        made.build(ROOT / "deploy" / "Dockerfile", "ai-agent-system", ROOT)
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def suite(machine):
    composed = ComposedSuite(machine)
    composed.start()
    return composed


@pytest.fixture(scope="module")
def ask(suite):
    """Ask the gateway, as somebody who has just registered."""
    http = urllib3.PoolManager(timeout=120)

    def asked(method, path, **more):
        answer = http.request(method, suite.url + path, **more)
        assert answer.status < 300, answer.data
        return answer.json()

    account = {"username": "testuser", "password": "testpass123"}
    known = {
        "Authorization": f"Bearer {asked('POST', '/auth/register', json=account)['access_token']}"
    }
    return lambda method, path, **more: asked(method, path, headers=known, **more)


def test_the_image_holds_what_runs_and_nothing_that_builds(machine):
    look = (
        "python -m pip; command -v pip gcc cc make; find / -xdev -perm -4000 -path '/app/*'; id -u"
    )
    found = machine.podman("run", "--rm", "--entrypoint", "sh", "ai-agent-system", "-c", look)

    assert found.split() == ["10001"]


def test_extras_are_built_in_when_asked_for(machine):
    extras = ("--target", "packages", "--build-arg", "EXTRAS=otel pgvector")
    machine.build(ROOT / "deploy" / "Dockerfile", "with-extras", ROOT, *extras)

    look = "import langchain_postgres, opentelemetry.sdk"
    machine.podman("run", "--rm", "with-extras", ".venv/bin/python", "-c", look)


def test_a_document_is_read_and_cited(ask):
    (document,) = ask(
        "POST", "/rag/documents?wait=60", fields={"file": (DOCUMENT.name, DOCUMENT.read_bytes())}
    )["documents"]
    assert document["status"] == "ready"

    question = {"user_request": "Who patented the typewriter in 1868?"}
    answer = ask("POST", "/agent/query", json=question)

    assert "Christopher Latham Sholes" in answer["response"]
    assert answer["citations"][0]["document_id"] == document["id"]
    assert answer["citations"][0]["page"] == 1


def test_every_container_is_healthy_and_can_do_nothing_special(suite):
    for name, told in suite.services.items():
        container = suite.container(name)
        found = suite.machine.inspect(container)
        assert found["HostConfig"]["ReadonlyRootfs"], name
        assert not found["EffectiveCaps"], name
        if "healthcheck" in told:
            user = suite.machine.podman("exec", container, "id", "-u").strip()
            assert user not in ("", "0"), name
            assert suite.is_healthy(container), name


def test_the_gateway_alone_is_published_and_reaches_no_database(suite):
    listed = json.loads(suite.machine.podman("ps", "--format", "json"))
    published = {each["Names"][0]: each["Ports"] for each in listed if each["Ports"]}
    assert list(published) == [suite.container("gateway")]
    assert published[suite.container("gateway")][0]["host_ip"] == "127.0.0.1"

    look = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    for store, port in (("postgres", "5432"), ("chroma", "5020")):
        reach = ("python", "-c", look, store, port)
        suite.machine.podman("exec", suite.container("rag"), *reach)
        with pytest.raises(AssertionError, match="gaierror"):
            suite.machine.podman("exec", suite.container("gateway"), *reach)


def test_three_instances_of_a_service_share_its_requests(suite, ask):
    scaled = ("--no-build", "--no-deps", "--scale", "rag=3", "rag")
    suite.compose("up", "--detach", *scaled)
    for number in (1, 2, 3):
        suite.wait_until_healthy(suite.container("rag", number))

    # Names are looked up every three seconds: ask until all three have been heard of.
    asked = Counter()
    for _ in range(60):
        ask("GET", "/rag/documents")
        lines = suite.machine.log(suite.container("gateway"))
        asked = Counter(re.findall(r'"path":"/rag/documents".*"upstream":"([^"]+)"', lines))
        if len(asked) == 3:
            break

    assert len(asked) == 3


def test_it_ends_when_it_is_told_to_and_leaves_nothing(suite):
    for name in OURS:
        suite.machine.podman("stop", "--time", "30", suite.container(name))
        assert suite.machine.inspect(suite.container(name))["State"]["ExitCode"] == 0, name

    # podman-compose takes what was scaled for orphans.
    suite.compose("down", "--volumes", "--remove-orphans")

    assert not suite.machine.podman("ps", "--all", "--quiet")
    assert PROJECT not in suite.machine.podman("volume", "ls", "--quiet")
    assert PROJECT not in suite.machine.podman("network", "ls")
