"""The suite on a host whose only address is ::1."""

import shutil
import subprocess
import sys

import pytest

from tests.suite.conftest import ROOT, prepare_suite

# A network namespace with the IPv6 loopback address only.
NAMESPACE = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
ONLY_IPV6 = "ip link set lo up && ip addr del 127.0.0.1/8 dev lo && "


def namespace_is_available() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    check = subprocess.run([*NAMESPACE, ONLY_IPV6 + "true"], capture_output=True, check=False)
    return check.returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.suite,
    pytest.mark.skipif(
        not namespace_is_available(), reason="needs unshare, ip and user namespaces"
    ),
]


def run_in_namespace(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NAMESPACE, ONLY_IPV6 + script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(300)
def test_question_is_answered_on_a_host_without_ipv4(tmp_path):
    # The PostgreSQL server of the tests listens on an IPv4 address only, so pgvector is away too.
    variables = {"DATABASE_URL": "", "VECTOR_STORE": ""}
    suite = prepare_suite(tmp_path, HOST="::1", GATEWAY_HOST="::1", **variables)
    url = f"http://[::1]:{suite.ports['gateway']}"

    process = run_in_namespace(
        "./start_microservices.sh --detach && "
        f"{sys.executable} tests/suite/ipv6_requests.py '{url}'; ./start_microservices.sh stop",
        suite.environment,
    )

    assert "37 months" in process.stdout.rpartition("Stop with")[2], process.stdout + process.stderr
    assert "not everything works" not in process.stdout


def test_start_without_ipv4_names_the_missing_address_and_the_settings(tmp_path):
    suite = prepare_suite(tmp_path)

    process = run_in_namespace("./start_microservices.sh", suite.environment)

    assert process.returncode == 1
    assert "this host has no address 127.0.0.1. Set HOST and GATEWAY_HOST" in process.stderr
