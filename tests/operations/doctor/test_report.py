"""The report of `doctor`: settings with their origin, findings, JSON."""

import json
import os
import subprocess
import sys

import pytest

from backend.operations import command_line as command
from backend.operations.doctor import report
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import make_plan


@pytest.fixture
def get_report(tmp_path, capsys):
    """Return the report for the given settings in .env."""

    def get(**dotenv: str) -> str:
        folders = {"DATA_DIR": str(tmp_path / "data"), "LOG_DIR": str(tmp_path / "logs")}
        variables = EnvironmentVariables(folders, dotenv)
        report.print_report(command.ROOT, make_plan(command.ROOT, variables), variables)
        return capsys.readouterr().out

    return get


def test_report_contains_each_setting_with_its_origin_and_no_secret(get_report):
    output = get_report(
        RATE_LIMIT_API="7/minute",
        LLM_API_KEY="sk-very-secret",
        DATABASE_URL="postgresql://app:hidden@db/app",
    )

    lines = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}
    assert lines["RATE_LIMIT_API"] == ["7/minute", ".env"]
    assert lines["RATE_LIMIT_AUTH"] == ["10/minute", "default"]
    assert "very-secret" not in output
    assert "hidden" not in output


@pytest.mark.slow
def test_report_contains_consequence_and_fix_of_an_unknown_setting(get_report):
    output = get_report(RATE_LIMITS_API="7/minute")

    assert "RATE_LIMITS_API is set in .env" in output
    assert "    consequence: It has no effect." in output
    assert "    fix:         Did you mean RATE_LIMIT" in output


@pytest.mark.slow
def test_doctor_prints_settings_and_findings_of_all_services_as_json(tmp_path):
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
    process = subprocess.run(
        [sys.executable, "-m", "backend", "doctor", "--json", "--port-offset", "12000"],
        cwd=command.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    output = json.loads(process.stdout)
    findings = {(entry["about"], entry["level"]): entry for entry in output["findings"]}

    assert process.returncode == 1
    assert "ACCESS_TOKEN_SECONDS" in findings["auth", "error"]["what"]
    assert "RATE_LIMIT_API" in findings["gateway", "error"]["what"]
    assert "qwen" in findings["agent", "warning"]["what"]
    assert "embedding model" in findings["rag", "error"]["what"]
    assert "REDIS_URL" in findings["redis", "error"]["mend"]
    assert {"name": "RATE_LIMIT_API", "value": "often", "from": "environment"} in output["settings"]
    # Checks change nothing.
    assert list(tmp_path.iterdir()) == []
