"""Findings of `doctor` about the host."""

import os
import resource
import socket
import subprocess
from collections import namedtuple

import pytest

from backend.chassis.documented_settings import list_documented_settings
from backend.operations import command_line as command
from backend.operations.doctor import host_checks
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import make_plan
from backend.operations.supervisor.processes.spawn import ProcessIdentity, identify
from backend.operations.supervisor.state import RunningProgram, SupervisorState
from tests.servers import free_port

WILDCARD = "0.0.0.0"  # noqa: S104 - not bound
KNOWN = [name for name, _ in list_documented_settings(command.ROOT)]


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Check the host with exported variables and those in .env; return findings by component."""
    monkeypatch.setattr(host_checks, "_in_container", lambda _: False)

    def run(dotenv=None, **exported):
        folders = {"DATA_DIR": str(tmp_path / "data"), "LOG_DIR": str(tmp_path / "logs")}
        ports = {name: str(free_port()) for name in KNOWN if name.endswith("_PORT")}
        variables = EnvironmentVariables(ports | folders | exported, dotenv or {})
        plan = make_plan(command.ROOT, variables)
        findings = list(host_checks.check_host(command.ROOT, plan, variables, KNOWN))
        assert all(finding.problem and finding.consequence and finding.fix for finding in findings)
        return {
            finding.component: finding for finding in findings if finding.component != "packages"
        }

    return run


def test_doctor_finds_nothing_on_a_suitable_host(check):
    assert check() == {}


@pytest.mark.parametrize(
    ("name", "similar"), [("RATE_LIMT_API", "RATE_LIMIT_API"), ("DATABASE_URI", "DATABASE_URL")]
)
def test_doctor_suggests_the_similar_name_for_an_unknown_variable(check, name, similar):
    (finding,) = check(dotenv={name: "x"}).values()
    assert (finding.component, finding.level) == (".env", "warning")
    assert f"Did you mean {similar}?" in finding.fix


def test_doctor_reports_exported_variables_only_when_similar_to_a_setting(check):
    assert list(check(RATE_LIMT_API="1/minute", EDITOR="vi", LLM_SOMETHING="x")) == ["environment"]


def test_doctor_advises_removal_of_an_unknown_variable_without_a_similar_name(check):
    (finding,) = check(dotenv={"FAVOURITE_COLOUR": "green"}).values()
    assert "Remove it" in finding.fix


def test_doctor_reports_secrets_that_other_users_can_read(check, tmp_path):
    secrets = tmp_path / "data" / "secrets"
    secrets.mkdir(parents=True, mode=0o755)
    (secrets / "SECRET_KEY").write_text("x")
    (finding,) = check().values()
    assert finding.level == "error"
    subprocess.run(finding.fix.split(), check=True)
    assert check() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write every folder")
def test_doctor_reports_a_data_folder_without_write_permission(check, tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    assert check()["DATA_DIR"].level == "error"


@pytest.mark.parametrize(("free", "level"), [(100, "error"), (500, "warning")])
def test_doctor_reports_a_nearly_full_disk_once(check, monkeypatch, free, level):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(host_checks.shutil, "disk_usage", lambda _: usage(0, 0, free * 2**20))
    assert check()["disk"].level == level


def test_doctor_reports_a_data_folder_on_a_network_file_system(check, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(host_checks, "_get_file_system", lambda _: "nfs4")
    assert "write-ahead log" in check()["DATA_DIR"].consequence


def test_doctor_reports_the_process_that_uses_a_port(check):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        finding = check(GATEWAY_PORT=str(port))["gateway"]
    assert f"Port {port} of gateway is in use by pid {os.getpid()}" in finding.problem


def test_doctor_reports_a_reachable_gateway_without_tls(check):
    assert set(check(GATEWAY_HOST=WILDCARD)) == {"GATEWAY_HOST", "APP_ENV"}
    secure = {"TLS_CERTFILE": "/c.pem", "APP_ENV": "production"}
    assert check(GATEWAY_HOST=WILDCARD, **secure) == {}


def test_doctor_reports_services_reachable_from_the_network(check):
    assert "GATEWAY_HOST" in check(HOST=WILDCARD)["HOST"].fix


def test_doctor_reports_a_low_limit_of_open_files(check, monkeypatch):
    monkeypatch.setattr(host_checks.resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    assert check()["limits"].fix.startswith("ulimit -n 65536")


@pytest.fixture
def leave_state(tmp_path):
    """Write the state that a killed supervisor with one program leaves."""
    folder = tmp_path / "data" / "run"

    def write(process):
        folder.mkdir(parents=True, exist_ok=True)
        program = RunningProgram("rag-service", process, "-", "-", 0.0)
        SupervisorState(supervisor=ProcessIdentity(1, "never"), programs=[program]).write(folder)

    return write


def test_doctor_reports_processes_without_a_supervisor(check, leave_state):
    leave_state(identify(os.getpid()))
    finding = check()["run files"]
    assert (finding.level, finding.fix) == ("error", f"kill {os.getpid()}")


def test_doctor_reports_the_state_of_a_killed_supervisor(check, leave_state):
    leave_state(ProcessIdentity(1, "never"))
    assert check()["run files"].level == "warning"


def test_doctor_reports_unread_one_time_secrets_while_services_run(check, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "announcements"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "first-admin").touch(0o600)
    assert check() == {}
    monkeypatch.setattr(host_checks.state, "is_supervised", lambda _: True)
    assert str(folder) in check()["announcements"].fix


def test_doctor_reports_a_service_that_is_not_in_the_catalog(check, monkeypatch):
    monkeypatch.setattr(host_checks, "find_unlisted_services", lambda: ["billing"])

    assert check()["billing"].problem == "backend/services/billing is not in the catalog."
