"""Build the Dockerfile and run docker-compose.yml with Podman on plain Debian."""

import json
import re
import sys
from collections.abc import Iterator

import pytest
import urllib3
from websockets.sync.client import connect

from tests.containers.machine import MARKERS, ROOT, Machine
from tests.containers.suite import PASSWORD, ApiClient, ComposedSuite, composed_suite
from tests.containers.webhooks import WebhookSender
from tests.servers import free_port, wait_until

pytestmark = MARKERS
PROJECT = "tried"
SERVICES = ("gateway", "auth", "agent", "rag", "chat", "admin", "realtime", "packages", "console")
OURS = (*SERVICES, "rag-worker", "chat-worker", "chroma")
DOCUMENT = ROOT / "tests" / "data" / "multi_page.pdf"
QUESTION = "Who patented the typewriter in 1868?"
ANSWER = "Christopher Latham Sholes"
# A container that is killed again and again is started with growing delays.
RESTART_SECONDS = 120


@pytest.fixture(scope="module")
def suite(machine: Machine) -> Iterator[ComposedSuite]:
    port = free_port()
    dotenv = {
        "ADMIN_PASSWORD": PASSWORD,
        "GATEWAY_PORT": str(port),
        "RATE_LIMIT_API": "6000/minute",
    }
    with composed_suite(machine, "docker-compose.yml", PROJECT, port, dotenv) as composed:
        composed.up()
        yield composed


@pytest.fixture(scope="module")
def user(suite: ComposedSuite) -> ApiClient:
    return suite.register("testuser")


@pytest.fixture(scope="module")
def admin(suite: ComposedSuite) -> ApiClient:
    return suite.sign_in("admin", PASSWORD)


@pytest.fixture(scope="module")
def document(user: ApiClient) -> dict:
    fields = {"file": (DOCUMENT.name, DOCUMENT.read_bytes())}
    (document,) = user("POST", "/rag/documents?wait=60", fields=fields)["documents"]
    return document


def test_image_has_no_build_tools(machine):
    look = (
        "python -m pip; command -v pip gcc cc make; find / -xdev -perm -4000 -path '/app/*'; id -u"
    )
    found = machine.podman("run", "--rm", "--entrypoint", "sh", "ai-agent-system", "-c", look)

    assert found.split() == ["10001"]


def test_document_is_processed_and_cited(user, document):
    assert document["status"] == "ready"

    answer = user("POST", "/agent/query", json={"user_request": QUESTION})

    assert ANSWER in answer["response"]
    assert answer["citations"][0]["document_id"] == document["id"]
    assert answer["citations"][0]["page"] == 1


def test_chat_and_console_answer(suite, user, document):
    message = {"channel": "web", "content": QUESTION}
    sent = user("POST", "/chat/message?wait=30", json=message)
    page = urllib3.request("GET", f"{suite.url}/console/", timeout=30)

    assert sent["status"] == "answered"
    assert ANSWER in sent["answer"]["content"]["text"]
    assert page.status == 200


def test_worker_answers_a_message_that_no_request_waits_for(user, document):
    sent = user("POST", "/chat/message?wait=0", json={"channel": "web", "content": QUESTION})
    path = f"/chat/conversations/{sent['conversation_id']}/messages"

    wait_until(lambda: len(user("GET", path)["items"]) == 2, 60)

    assert ANSWER in user("GET", path)["items"][1]["content"]["text"]


def test_event_of_a_package_reaches_a_socket(suite, admin):
    package = admin("POST", "/packages", json={"tracking_number": "1Z999AA10123456784"})
    address = suite.url.replace("http", "ws") + "/ws/packages"
    with connect(address, additional_headers=admin.headers) as client:
        assert "packages" in json.loads(client.recv(30))["connect"]["subs"]
        event = {"code": "picked_up", "occurred_at": "2026-01-31T12:00:00Z"}
        admin("POST", f"/packages/{package['id']}/events", json={"events": [event]})
        publication = json.loads(client.recv(60))["pub"]["data"]

    assert publication["type"].startswith("packages.")
    assert admin("GET", f"/packages/{package['id']}")["status"] == "in_transit"


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


def test_every_container_needs_less_than_half_of_its_memory_limit(suite, document):
    figures = suite.measure_memory()
    for name, (used, limit) in figures.items():
        sys.stdout.write(f"{name}: {used:.0f} of {limit:.0f} MB\n")

    assert [name for name, (used, limit) in figures.items() if used > limit / 2] == []


def test_requests_are_balanced_across_three_instances(suite, user):
    suite.compose("up", "--detach", "--no-build", "--no-deps", "--scale", "rag=3", "rag")
    for number in (1, 2, 3):
        suite.wait_until_healthy("rag", number=number)

    # Names are resolved every three seconds: send requests until all three are used.
    def list_upstreams() -> set[str]:
        user("GET", "/rag/documents")
        return find_upstreams(suite, "/rag/documents")

    wait_until(lambda: len(list_upstreams()) == 3, 60)


def find_upstreams(suite: ComposedSuite, path: str) -> set[str]:
    """Return the instances to which the gateway has forwarded requests for *path*."""
    lines = suite.machine.log(suite.container("gateway"), 2000)
    return set(re.findall(rf'"path":"{path}[^"]*".*"upstream":"([^"]+)"', lines))


@pytest.fixture(scope="module")
def three_chats(suite: ComposedSuite, admin: ApiClient) -> None:
    """Three instances of chat, all of which get requests."""
    suite.compose("up", "--detach", "--no-build", "--no-deps", "--scale", "chat=3", "chat")
    for number in (1, 2, 3):
        suite.wait_until_healthy("chat", number=number)

    def list_upstreams() -> set[str]:
        admin("GET", "/chat/accounts")
        return find_upstreams(suite, "/chat/accounts")

    wait_until(lambda: len(list_upstreams()) == 3, 60)


@pytest.mark.usefixtures("three_chats")
def test_three_instances_of_chat_store_webhooks_once_and_in_order(suite, admin):
    """Ten people write at the same time, and each webhook is sent twice at the same time."""
    sender = WebhookSender.create(suite.url, admin)

    sender.send_conversations(people=10, messages=12)

    conversations = admin("GET", f"/chat/conversations?account_id={sender.account}")["items"]
    texts = [list_texts(admin, conversation["id"]) for conversation in conversations]
    assert sorted(texts) == sorted(sender.sent_texts(people=10, messages=12))
    assert len(find_upstreams(suite, f"/webhook/generic/{sender.account}")) == 3


def list_texts(client: ApiClient, conversation: str) -> list[str]:
    """Return the texts of the contact in a conversation, in the order of arrival."""
    path = f"/chat/conversations/{conversation}/messages?limit=100"
    items = client("GET", path)["items"]
    return [item["content"]["text"] for item in items if item["direction"] == "inbound"]


@pytest.mark.usefixtures("three_chats")
def test_three_instances_of_chat_store_a_repeated_message_once(user):
    message = {"channel": "web", "content": "Hello", "client_id": "hello-1"}

    sent = [user("POST", "/chat/message?wait=30", json=message) for _ in range(9)]

    assert len({item["message"]["id"] for item in sent}) == 1
    assert list_texts(user, sent[0]["conversation_id"]) == ["Hello"]


def test_killed_containers_are_started_again_with_all_data(suite, user, document):
    names = suite.long_running()
    before = {name: suite.count_restarts(name) for name in names}
    suite.kill(*names)

    wait_until(lambda: all(suite.count_restarts(name) > before[name] for name in names), 60)
    suite.wait_until_healthy(*names)
    # The gateway resolves the names of the new containers within seconds.
    wait_until(lambda: is_stored(user, document), RESTART_SECONDS)
    answer = user("POST", "/agent/query", json={"user_request": QUESTION})
    assert answer["citations"][0]["document_id"] == document["id"]


def is_stored(user: ApiClient, document: dict) -> bool:
    try:
        return user("GET", f"/rag/documents/{document['id']}")["status"] == "ready"
    except (AssertionError, urllib3.exceptions.HTTPError):
        return False


def test_down_and_up_keep_all_data(suite, user, admin, document):
    before = count_contents(user, admin)
    for name in OURS:
        suite.machine.podman("stop", "--time", "30", suite.container(name))
        assert suite.machine.inspect(suite.container(name))["State"]["ExitCode"] == 0, name

    suite.compose("down", "--remove-orphans")
    assert not suite.machine.podman("ps", "--all", "--quiet")
    suite.up()

    # The same tokens are valid: their keys are in the volume `data`.
    wait_until(lambda: is_stored(user, document), RESTART_SECONDS)
    assert count_contents(user, admin) == before
    answer = user("POST", "/agent/query", json={"user_request": QUESTION})
    assert answer["citations"][0]["document_id"] == document["id"]


def count_contents(user: ApiClient, admin: ApiClient) -> dict[str, int]:
    paths = ("/rag/documents", "/agent/sessions", "/chat/conversations")
    counts = {path: len(user("GET", f"{path}?limit=100")["items"]) for path in paths}
    paths = ("/packages", "/chat/accounts", "/auth/users")
    return counts | {path: len(admin("GET", f"{path}?limit=100")["items"]) for path in paths}


def test_down_with_volumes_removes_everything(suite):
    # podman-compose treats scaled containers as orphans.
    suite.compose("down", "--volumes", "--remove-orphans")

    assert not suite.machine.podman("ps", "--all", "--quiet")
    assert PROJECT not in suite.machine.podman("volume", "ls", "--quiet")
    assert PROJECT not in suite.machine.podman("network", "ls")
