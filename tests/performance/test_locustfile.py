"""The file of Locust, run without its browser interface against a suite."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.suite.conftest import ROOT, running_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow, pytest.mark.timeout(600)]
NAMES = {
    "/auth/register",
    "/auth/me",
    "/rag/documents",
    "/rag/search",
    "/agent/query",
    "/chat/message",
    "/packages",
    "/packages/ID",
}


@pytest.fixture
def locust(tmp_path):
    """Locust in an environment of its own, as `make load` installs it."""
    folder = tmp_path / "environment"
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    result = subprocess.run(
        [make, "load", f"LOAD={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    if result.returncode and not os.environ.get("CI"):
        pytest.skip(f"Locust cannot be installed: {result.stderr[-300:]}")
    assert result.returncode == 0, result.stderr
    return folder / "bin" / "locust"


def test_users_of_locust_get_no_unexpected_response(locust, tmp_path):
    rates = ("RATE_LIMIT_AUTH", "RATE_LIMIT_API", "RATE_LIMIT_TENANT", "RATE_LIMIT_CONSOLE")
    limits = dict.fromkeys(rates, "1000000/minute")
    with running_suite(tmp_path, **limits) as suite:
        options = ["--headless", "--users", "3", "--spawn-rate", "3", "--run-time", "60s"]
        options += ["--host", suite.url, "--csv", str(tmp_path / "load"), "--stop-timeout", "40"]
        result = subprocess.run(
            [locust, "--locustfile", "tests/performance/locustfile.py", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
        )

    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    rows = read_rows(tmp_path / "load_stats.csv")
    assert {name for name, row in rows.items() if int(row["Failure Count"])} == set()
    assert rows.keys() >= NAMES


def read_rows(file: Path) -> dict[str, dict[str, str]]:
    with file.open() as stream:
        return {row["Name"]: row for row in csv.DictReader(stream)}
