"""What the doctor sees on a host: each thing broken once, found with why and what mends it."""

import json
import os
import resource
import socket
import subprocess
import sys
from collections import namedtuple

import pytest

from backend.operations import __main__ as command
from backend.operations.doctor import host_checks, report
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import make_plan
from backend.operations.supervisor.processes import Identity, identify
from backend.operations.supervisor.state import Started, State
from tests.servers import free_port

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound to it
KNOWN = [name for name, _ in report.known_settings(command.ROOT)]


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """What is found here with these settings exported, and those written in .env."""
    monkeypatch.setattr(host_checks, "_in_container", lambda _: False)

    def look(written=None, **exported):
        places = {"DATA_DIR": str(tmp_path / "data"), "LOG_DIR": str(tmp_path / "logs")}
        ports = {name: str(free_port()) for name in KNOWN if name.endswith("_PORT")}
        variables = Variables(ports | places | exported, written or {})
        plan = make_plan(command.ROOT, variables)
        found = list(host_checks.look_around(command.ROOT, plan, variables, KNOWN))
        assert all(each.what and each.why and each.mend for each in found)
        return {each.about: each for each in found if each.about != "packages"}

    return look


def test_nothing_is_found_where_nothing_is_wrong(seen):
    assert seen() == {}


@pytest.mark.parametrize(
    ("name", "meant"), [("RATE_LIMT_API", "RATE_LIMIT_API"), ("DATABASE_URI", "DATABASE_URL")]
)
def test_a_slip_in_a_variables_name_is_seen_through(seen, name, meant):
    (finding,) = seen(written={name: "x"}).values()
    assert (finding.about, finding.level) == (".env", "warning")
    assert f"Did you mean {meant}?" in finding.mend


def test_of_what_is_exported_only_what_looks_like_ours_is_told(seen):
    assert list(seen(RATE_LIMT_API="1/minute", EDITOR="vi", LLM_SOMETHING="x")) == ["environment"]


def test_a_name_like_no_other_is_told_as_it_is(seen):
    (finding,) = seen(written={"FAVOURITE_COLOUR": "green"}).values()
    assert "Take it out" in finding.mend


def test_secrets_that_others_may_read_are_told(seen, tmp_path):
    secrets = tmp_path / "data" / "secrets"
    secrets.mkdir(parents=True, mode=0o755)
    (secrets / "SECRET_KEY").write_text("x")
    (finding,) = seen().values()
    assert finding.level == "error"
    subprocess.run(finding.mend.split(), check=True)
    assert seen() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_is_told(seen, tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    assert seen()["DATA_DIR"].level == "error"


@pytest.mark.parametrize(("free", "level"), [(100, "error"), (500, "warning")])
def test_a_disk_that_is_nearly_full_is_told_once(seen, monkeypatch, free, level):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(host_checks.shutil, "disk_usage", lambda _: usage(0, 0, free * 2**20))
    assert seen()["disk"].level == level


def test_a_network_file_system_is_told(seen, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(host_checks, "_file_system", lambda _: "nfs4")
    assert "write-ahead log" in seen()["DATA_DIR"].why


def test_a_taken_port_is_told_with_who_has_it(seen):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        finding = seen(GATEWAY_PORT=str(port))["gateway"]
    assert f"Port {port} (gateway) is taken by pid {os.getpid()}" in finding.what


def test_an_open_gateway_without_tls_is_told(seen):
    assert set(seen(GATEWAY_HOST=EVERYWHERE)) == {"GATEWAY_HOST", "APP_ENV"}
    closed = {"TLS_CERTFILE": "/c.pem", "APP_ENV": "production"}
    assert seen(GATEWAY_HOST=EVERYWHERE, **closed) == {}


def test_services_that_are_open_to_the_network_are_told(seen):
    assert "GATEWAY_HOST" in seen(HOST=EVERYWHERE)["HOST"].mend


def test_few_open_files_are_told(seen, monkeypatch):
    monkeypatch.setattr(host_checks.resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    assert seen()["limits"].mend.startswith("ulimit -n 65536")


@pytest.fixture
def left_behind(tmp_path):
    """A state as a supervisor leaves it that was killed by -9, with one program."""
    folder = tmp_path / "data" / "run"

    def write(process):
        folder.mkdir(parents=True, exist_ok=True)
        program = Started("rag-service", process, "-", "-", 0.0)
        State(supervisor=Identity(1, "never"), programs=[program]).write(folder)

    return write


def test_programs_that_nobody_supervises_any_more_are_told(seen, left_behind):
    left_behind(identify(os.getpid()))
    finding = seen()["run files"]
    assert (finding.level, finding.mend) == ("error", f"kill {os.getpid()}")


def test_what_a_killed_suite_has_left_is_told(seen, left_behind):
    left_behind(Identity(1, "never"))
    assert seen()["run files"].level == "warning"


def test_a_password_that_nobody_has_read_is_told_while_the_suite_runs(seen, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "announcements"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "first-admin").touch(0o600)
    assert seen() == {}
    monkeypatch.setattr(host_checks.state, "is_supervised", lambda _: True)
    assert str(folder) in seen()["announcements"].mend


@pytest.mark.slow
def test_the_whole_is_one_answer_for_scripts(tmp_path):
    """Every service is asked, in processes of their own, about what is wrong with it."""
    environment = {
        "DATA_DIR": str(tmp_path),
        "LOG_DIR": str(tmp_path),
        "PATH": os.environ["PATH"],
        "ACCESS_TOKEN_SECONDS": "soon",
        "LLM": "http://127.0.0.1:9/v1#qwen",
        "EMBEDDING_BASE_URL": "http://127.0.0.1:9/v1",
        "EMBEDDING_MODEL": "some",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "RATE_LIMIT_API": "often",
    }
    asked = subprocess.run(
        [sys.executable, "-m", "backend", "doctor", "--json", "--port-offset", "12000"],
        cwd=command.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    told = json.loads(asked.stdout)
    findings = {(each["about"], each["level"]): each for each in told["findings"]}

    assert asked.returncode == 1
    assert "ACCESS_TOKEN_SECONDS" in findings["auth", "error"]["what"]
    assert "RATE_LIMIT_API" in findings["gateway", "error"]["what"]
    assert "qwen" in findings["agent", "warning"]["what"]
    assert "embedding model" in findings["rag", "error"]["what"]
    assert "REDIS_URL" in findings["redis", "error"]["mend"]
    assert {"name": "RATE_LIMIT_API", "value": "often", "from": "environment"} in told["settings"]
    # Who looks changes nothing.
    assert list(tmp_path.iterdir()) == []
