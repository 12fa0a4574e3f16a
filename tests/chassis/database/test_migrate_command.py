"""The command that migrates the tables of all services."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "backend.operations", "migrate"]


def migrate(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    variables = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        COMMAND, cwd=ROOT, env=variables | environment, capture_output=True, text=True, timeout=60
    )


def test_migrate_prints_every_service_with_its_revision(tmp_path):
    result = migrate({"DATA_DIR": str(tmp_path)})

    assert result.returncode == 0, result.stderr
    revisions = dict(line.split(": ") for line in result.stdout.splitlines())
    assert set(revisions) == {"auth", "agent", "rag", "chat", "realtime", "packages"}
    for service, revision in revisions.items():
        with sqlite3.connect(tmp_path / f"{service}.db") as tables:
            row = tables.execute(f"SELECT version_num FROM alembic_version_{service}")  # noqa: S608
            assert row.fetchone() == (revision,)
    assert migrate({"DATA_DIR": str(tmp_path)}).stdout == result.stdout


@pytest.mark.slow
def test_migrate_reports_a_missing_setting(tmp_path):
    result = migrate({"DATA_DIR": str(tmp_path), "APP_ENV": "production"})

    assert result.returncode == 1
    assert result.stderr.startswith("SECRET_KEY is not set.")
