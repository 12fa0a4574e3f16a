"""With LOG_FORMAT=ecs, all programs of the suite write lines of the Elastic Common Schema."""

import csv
import json
import subprocess

import pytest

from tests.suite.conftest import ROOT, running_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow]
FIELDS = ROOT / "tests" / "data" / "ecs-fields.csv"


def test_every_program_writes_lines_with_published_names(tmp_path):
    with FIELDS.open(newline="") as file:
        names = {row["Field"] for row in csv.DictReader(file)}
    with running_suite(tmp_path, LOG_FORMAT="ecs", LOG_LEVEL="debug") as suite:
        ada = suite.register_user("ada")
        headers = {"X-Request-ID": "shown-7"}
        ada("GET", "/rag/documents", headers=headers).raise_for_status()
        ada("POST", "/agent/query", json={"user_request": "6 times 7?"}).raise_for_status()
        output = subprocess.run(
            [str(ROOT / "start_microservices.sh"), "logs", "--request", "shown-7"],
            env=suite.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    logs = list((tmp_path / "logs").glob("*.log"))
    lines = [(log.stem, json.loads(line)) for log in logs for line in log.read_text().splitlines()]

    assert {"gateway", "auth_service", "valkey", "supervisor"} <= {stem for stem, _ in lines}
    for stem, line in lines:
        unknown = {name for name in line if not name.startswith("labels.")} - names
        assert not unknown, (stem, line)
        assert {"@timestamp", "log.level", "message", "service.name"} <= line.keys(), (stem, line)
    assert "debug" in {line["log.level"] for _, line in lines}
    assert {"gateway", "rag-service"} <= {line.split()[1] for line in output.splitlines()}
