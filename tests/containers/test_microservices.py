"""docker-compose.microservices.yml with the `.env` of a replaced system, as its users start it."""

import socket
from collections.abc import Iterator

import pytest

from tests.containers.machine import MARKERS, Machine
from tests.containers.suite import PASSWORD, ApiClient, ComposedSuite, composed_suite
from tests.servers import wait_until

pytestmark = MARKERS
PORT = 80
# What such systems print, with the values that are different in each installation.
DOTENV = {
    "ENVIRONMENT": "development",
    "SERVICE": "api-gateway",
    "PORT": "8001",
    "LOG_LEVEL": "INFO",
    "POSTGRESQL_URI": "postgresql+asyncpg://parcels:a%20secret@postgres:5432/parcels",
    "REDIS_URL": "redis://redis:6379/0",
    "MONGODB_URI": "mongodb://mongodb:27017/parcels",
    "ADMIN_EMAIL": "admin@example.org",
    "ADMIN_PASSWORD": PASSWORD,
    "DEFAULT_RATE_LIMIT": "6000",
}
NAMES = ("api-gateway", "package-service", "ai-agent-service", "websocket-service")


@pytest.fixture(scope="module")
def suite(machine: Machine) -> Iterator[ComposedSuite]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", PORT))
        except OSError:
            pytest.skip(f"port {PORT} of this machine is in use")
    file = "docker-compose.microservices.yml"
    with composed_suite(machine, file, "replaced", PORT, DOTENV) as composed:
        composed.up()
        yield composed


@pytest.fixture(scope="module")
def admin(suite: ComposedSuite) -> ApiClient:
    return suite.sign_in("admin", PASSWORD)


def test_gateway_serves_the_paths_on_port_80(suite, admin):
    assert suite.request("GET", "/health")["status"] == "healthy"
    assert admin("GET", "/api/v1/auth/me")["email"] == "admin@example.org"
    created = admin("POST", "/api/v1/packages", json={"tracking_number": "1Z999AA10123456784"})
    assert created["carrier"] == "ups"


@pytest.mark.parametrize("name", NAMES)
def test_logs_and_exec_take_the_names_of_the_replaced_services(suite, name):
    suite.compose("exec", "-T", name, "python", "-m", "backend.operations", "ready")

    assert '"message"' in suite.compose("logs", "--tail", "20", name)


def test_containers_resolve_old_and_new_names(suite):
    hosts = (*NAMES, "gateway", "packages", "agent", "realtime", "auth-service", "redis-service")
    look = f"import socket; [socket.getaddrinfo(host, 80) for host in {hosts!r}]"
    suite.compose("exec", "-T", "auth", "python", "-c", look)


def test_database_has_the_name_and_user_of_the_address(suite):
    sql = "select current_user || ' ' || current_database() from pg_tables limit 1"
    command = ("psql", "--host=127.0.0.1", "--username=parcels", "--tuples-only", "--command", sql)
    variables = ("env", "PGPASSWORD=a secret")
    printed = suite.compose("exec", "-T", "postgres", *variables, *command, "parcels")

    assert printed.split() == ["parcels", "parcels"]


def test_addresses_in_mails_have_the_published_port(suite):
    look = (
        "from backend.chassis.settings import load_env, load_public_url as f; print(f(load_env()))"
    )
    printed = suite.compose("exec", "-T", "auth", "python", "-c", look)

    assert printed.split()[-1] == "http://127.0.0.1"


def test_agent_is_scaled_by_its_name(suite, admin):
    scaled = ("--scale", "ai-agent-service=2", "ai-agent-service")
    suite.compose("up", "--detach", "--no-build", "--no-deps", *scaled)

    suite.wait_until_healthy("ai-agent-service", number=2)

    question = {"user_request": "How much is 6 times 7?"}
    answers = [admin("POST", "/agent/query", json=question)["response"] for _ in range(4)]
    assert all("42" in answer for answer in answers)


def test_data_of_an_upgraded_system_is_kept(suite, admin):
    """`down` and `up`, as after a change of the file or of the image."""
    suite.compose("down", "--remove-orphans")
    suite.up()

    wait_until(lambda: suite.request("GET", "/health")["status"] == "healthy", 60)
    assert [item["carrier"] for item in admin("GET", "/packages")["items"]] == ["ups"]
