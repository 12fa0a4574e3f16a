"""Findings of `doctor` about settings: lines of .env, ports, numbers, URLs, origins."""

import pytest

from backend.chassis.console import CommandError
from backend.chassis.diagnostics import error
from backend.operations import command_line as command
from backend.operations.doctor import report
from backend.operations.doctor.setting_checks import check_settings
from backend.operations.path_length import MAX_DATA_PATH_BYTES
from backend.operations.supervisor.environment import EnvironmentVariables, parse_dotenv
from backend.operations.supervisor.log_files import create_log_folder
from backend.operations.supervisor.plan import StartOptions, make_plan
from backend.operations.supervisor.supervise import Supervisor


def read_variables(dotenv: str, tmp_path) -> EnvironmentVariables:
    file = parse_dotenv(dotenv)
    folders = {"DATA_DIR": str(tmp_path / "data"), "LOG_DIR": str(tmp_path / "logs")}
    return EnvironmentVariables(folders, file.values, [file])


@pytest.fixture
def find(tmp_path):
    """Return the problems of the settings in the text of a .env file."""

    def run(dotenv: str) -> list[str]:
        variables = read_variables(dotenv, tmp_path)
        plan = make_plan(command.ROOT, variables)
        findings = list(check_settings(plan, variables, running=False))
        assert all(finding.level == "error" for finding in findings)
        return [finding.problem for finding in findings]

    return run


def test_doctor_accepts_comments_and_assignments(find):
    assert find("# comment\n\nexport AUTH_SERVICE_WORKERS=2\nPUBLIC_URL=https://a.example\n") == []


@pytest.mark.parametrize(
    ("dotenv", "problem"),
    [
        ("\nSECRET_KEY: swordfish", "Line 2 of .env is not an assignment."),
        ("AUTH_SERVICE_PORT=5003", "are set to the same port, 5003."),
        ("RAG_SERVICE_WORKERS=two", "RAG_SERVICE_WORKERS must be a whole number"),
        ("GATEWAY_THREADS=0", "GATEWAY_THREADS must be a whole number"),
        ("RAG_SERVICE_URL=http://127.0.0.1:9", "http://127.0.0.1:9 in RAG_SERVICE_URL"),
        ("RAG_SERVICE_URL=rag:5003", "does not begin with http://"),
        ("PUBLIC_URL=agent.example.org", "PUBLIC_URL, agent.example.org, does not begin"),
    ],
)
def test_doctor_reports_a_wrong_setting_without_secrets(find, dotenv, problem):
    (found,) = find(dotenv)

    assert problem in found
    assert "swordfish" not in found


def test_doctor_accepts_the_url_of_a_service_that_is_not_started_yet(find):
    assert find("RAG_SERVICE_URL=http://127.0.0.1:5003") == []


@pytest.mark.parametrize(
    ("dotenv", "problem"),
    [
        ("PORT=8001", "PORT is set. It is the port of one service in a container."),
        ("MAX_CONNECTIONS_PER_HOST=8", "MAX_CONNECTIONS_PER_HOST limits nothing here."),
    ],
)
def test_doctor_names_variables_of_replaced_systems_without_effect(tmp_path, dotenv, problem):
    variables = read_variables(dotenv, tmp_path)
    plan = make_plan(command.ROOT, variables)

    (found,) = check_settings(plan, variables, running=False)

    assert (found.level, found.problem) == ("warning", problem)


def test_start_rejects_two_services_on_one_port(tmp_path):
    plan = make_plan(command.ROOT, read_variables("AUTH_SERVICE_PORT=5003", tmp_path))

    with pytest.raises(CommandError, match=r"AUTH_SERVICE_PORT\) and .* same port, 5003"):
        Supervisor(plan, lambda: None).run()


@pytest.fixture
def print_findings(tmp_path, monkeypatch, capsys):
    """Print the report for .env, with findings of services instead of their checks."""

    def run(dotenv, findings, **options):
        monkeypatch.setattr(report, "_check_services", lambda *_: findings)
        variables = read_variables(dotenv, tmp_path)
        plan = make_plan(command.ROOT, variables)
        report.print_report(command.ROOT, plan, variables, **options)
        return capsys.readouterr().out

    return run


def test_report_contains_a_problem_of_several_services_once_with_its_origin(print_findings):
    findings = [
        error(name, "DATABASE_URL begins with x.", f"{name} does not start.", "Correct it.")
        for name in ("auth", "rag")
    ]

    output = print_findings("# comment\nDATABASE_URL=x", findings)

    assert output.count("DATABASE_URL begins with x.") == 1
    assert "error: auth, rag: " in output
    assert "consequence: Each of them does not start." in output
    assert "set in:      DATABASE_URL: .env, line 2" in output
    assert output.index("DATABASE_URL begins") < output.index("\nSettings\n")


def test_report_of_findings_only_contains_no_settings(print_findings):
    assert "RATE_LIMIT_API" not in print_findings("", [], findings_only=True)


def test_errors_of_running_services_are_printed_after_a_start(tmp_path, monkeypatch, capsys):
    finding = error("redis", "Redis does not respond.", "Requests fail.", "Start it.")
    monkeypatch.setattr(report, "_check_services", lambda *_: [finding])
    variables = read_variables("RATE_LIMIT_APY=1", tmp_path)

    report.print_errors(command.ROOT, make_plan(command.ROOT, variables), variables)

    output = capsys.readouterr().out
    assert "error: redis: Redis does not respond." in output
    assert "RATE_LIMIT_APY" not in output  # a warning


def test_services_that_are_not_started_are_not_checked(tmp_path, monkeypatch):
    checked = []

    def run_checks(_python, _root, _environment, arguments):
        checked.extend(arguments)
        return "".join(f'{{"{name}": []}}\n' for name in arguments), ""

    monkeypatch.setattr(report, "_run_checks", run_checks)
    variables = read_variables("", tmp_path)
    plan = make_plan(command.ROOT, variables, StartOptions(only=("gateway", "auth")))

    report.print_errors(command.ROOT, plan, variables)

    assert checked == ["suite", "auth", "gateway"]


def test_doctor_reports_a_log_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    variables = EnvironmentVariables(
        {"DATA_DIR": str(tmp_path / "data"), "LOG_DIR": str(tmp_path / "file" / "logs")}
    )
    plan = make_plan(command.ROOT, variables)

    problems = [f.problem for f in report.find_problems(command.ROOT, plan, variables)]

    assert any(f"{tmp_path / 'file'} is not a folder" in problem for problem in problems)
    with pytest.raises(CommandError, match="set LOG_DIR to another folder"):
        create_log_folder(plan.logs)


def test_doctor_reports_a_data_folder_whose_path_is_too_long():
    variables = EnvironmentVariables({"DATA_DIR": "/folder" * (MAX_DATA_PATH_BYTES // 7 + 1)})
    plan = make_plan(command.ROOT, variables)

    problems = [
        finding.problem
        for finding in report.check_host(command.ROOT, plan, variables, ())
        if finding.component == "DATA_DIR"
    ]

    assert len(problems) == 1
    assert "SQLite supports at most" in problems[0]
