"""The image without Compose: one service by variables, extras, and the target with the tests."""

import urllib3

from tests.containers.machine import MARKERS, ROOT
from tests.containers.suite import composed_suite
from tests.servers import free_port, wait_until

pytestmark = MARKERS


def test_extras_are_installed_with_a_build_argument(machine):
    extras = ("--target", "packages", "--build-arg", "EXTRAS=otel pgvector")
    machine.build(ROOT / "deploy" / "Dockerfile", "with-extras", ROOT, *extras)

    look = "import psycopg, opentelemetry.sdk"
    machine.podman("run", "--rm", "with-extras", ".venv/bin/python", "-c", look)


def test_container_without_a_command_serves_service_on_port(machine):
    file, port = machine.folder / "one-service.env", free_port()
    file.write_text("SERVICE=auth-service\nPORT=8001\nENVIRONMENT=development\nLOG_LEVEL=INFO\n")
    published = ("--publish", f"127.0.0.1:{port}:8001", "--env-file", str(file))
    name = "one-service"
    machine.podman("run", "--detach", "--name", name, *published, "ai-agent-system")
    try:
        # The health check of the image, which names neither service nor port.
        wait_until(lambda: machine.succeeds("healthcheck", "run", name), 120)
        url = f"http://127.0.0.1:{port}"
        health = urllib3.request("GET", f"{url}/health", timeout=30).json()
        account = {"username": "testuser", "password": "testpass123"}
        created = urllib3.request("POST", f"{url}/api/v1/auth/register", json=account, timeout=60)

        assert health["service"] == "auth-service"
        assert created.status == 201
        assert created.json()["access_token"]
    finally:
        machine.podman("rm", "--force", "--time", "10", "--volumes", name)


def test_tests_run_in_a_container_of_the_profile_test(machine):
    target = ("--target", "test")
    machine.build(ROOT / "deploy" / "Dockerfile", "ai-agent-system-test", ROOT, *target)
    with composed_suite(machine, "docker-compose.yml", "tests", 0, {}) as composed:
        command = ("--profile", "test", "run", "--rm", "-T", "test")
        selected = ("-q", "tests/security", "tests/architecture/test_containers.py")
        printed = composed.compose(*command, *selected, seconds=1800)

    assert " passed" in printed
