"""The weekly audit of dependencies: completed, skipped with its reason, or with findings."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "audit_dependencies.sh"


@pytest.fixture
def audit(tmp_path):
    """Return a function that runs the script with a pip-audit of this output and exit status."""
    script = tmp_path / "a path" / "deploy" / SCRIPT.name
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    stub = tmp_path / "bin" / "uv"
    stub.parent.mkdir()

    def run(output, status):
        stub.write_text(f"#!/bin/sh\necho '{output}' >&2\nexit {status}\n")
        stub.chmod(0o755)
        environment = os.environ | {"PATH": f"{stub.parent}:{os.environ['PATH']}"}
        result = subprocess.run(
            [script], env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        return result.returncode, result.stdout

    return run


def test_unreachable_advisory_service_skips_the_audit_with_its_reason(audit):
    status, output = audit("ERROR: Connection refused", 1)

    assert status == 0
    assert "Skipped: no advisory service responds: ERROR: Connection refused" in output
    assert "Last completed audit: never." in output


def test_skipped_audit_prints_the_date_of_the_last_completed_one(audit):
    assert audit("No known vulnerabilities found", 0)[0] == 0

    status, output = audit("ERROR: Dependency not found on PyPI", 1)

    assert status == 0
    assert "the package index in use publishes no advisories" in output
    assert f"Last completed audit: {datetime.now(UTC):%Y-%m-%d}." in output


def test_vulnerabilities_fail_the_audit(audit):
    status, output = audit("Found 2 known vulnerabilities in 1 package", 1)

    assert status == 1
    assert "Found 2 known vulnerabilities" in output
