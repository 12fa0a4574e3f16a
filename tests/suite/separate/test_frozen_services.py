"""A frozen service: its requests get 503 at once, and the other services are unaffected."""

import os
import signal
import time

import pytest
import requests

from tests.servers import wait_until
from tests.suite.conftest import running_suite

pytestmark = [pytest.mark.suite, pytest.mark.alone, pytest.mark.timeout(300)]
REQUESTS = {
    "auth": ("GET", "/auth/me", None),
    "rag": ("POST", "/rag/search", {"query": "typewriter"}),
    "agent": ("GET", "/agent/sessions", None),
    "admin": ("GET", "/admin/stats", None),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    with running_suite(tmp_path_factory.mktemp("suite")) as suite:
        yield suite


@pytest.fixture(scope="module")
def user(suite):
    user = suite.register_user("reader")
    for name in REQUESTS:  # loads what the services load at their first request
        send_request(user, name)
    return user


def send_request(user, name):
    """Return (status, seconds, response) of a request to the service *name*."""
    method, path, body = REQUESTS[name]
    started = time.monotonic()
    response = user(method, path, json=body)
    return response.status_code, time.monotonic() - started, response


@pytest.mark.parametrize(
    "name",
    ["rag", *(pytest.param(name, marks=pytest.mark.slow) for name in ("admin", "agent", "auth"))],
)
def test_frozen_service_gets_503_within_half_a_second(suite, user, name):
    usual = {each: send_request(user, each)[0] for each in REQUESTS}
    assert max(usual.values()) < 500
    pid = suite.get_pid(f"{name}-service")
    os.killpg(pid, signal.SIGSTOP)
    try:
        time.sleep(3)
        frozen = [send_request(user, name) for _ in range(5)]
        others = {each: send_request(user, each)[0] for each in REQUESTS if each != name}
        health = requests.get(f"{suite.url}/health", timeout=5).json()
        readiness = requests.get(f"{suite.url}/health/ready", timeout=5).status_code
    finally:
        os.killpg(pid, signal.SIGCONT)
    wait_until(lambda: send_request(user, name)[0] == usual[name], 2)

    assert [status for status, _, _ in frozen] == [503] * 5
    assert max(seconds for _, seconds, _ in frozen) < 0.5
    assert all(int(response.headers["Retry-After"]) >= 1 for _, _, response in frozen)
    assert others == {each: status for each, status in usual.items() if each != name}
    assert health["services"][name]["status"] == "unhealthy"
    assert readiness == 200
