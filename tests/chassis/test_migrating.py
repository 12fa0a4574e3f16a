"""The command that brings all tables up to date before anything starts."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "backend.chassis", "migrate"]


def migrate(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        COMMAND, cwd=ROOT, env=own | environment, capture_output=True, text=True, timeout=60
    )


def test_every_service_with_tables_is_brought_up_to_date_and_named(tmp_path):
    done = migrate({"DATA_DIR": str(tmp_path)})

    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ") for line in done.stdout.splitlines())
    assert set(told) == {"auth", "agent", "rag"}
    for service, revision in told.items():
        with sqlite3.connect(tmp_path / f"{service}.db") as tables:
            at = tables.execute(f"SELECT version_num FROM alembic_version_{service}")  # noqa: S608
            assert at.fetchone() == (revision,)
    assert migrate({"DATA_DIR": str(tmp_path)}).stdout == done.stdout


def test_what_is_not_set_is_told_in_a_line(tmp_path):
    refused = migrate({"DATA_DIR": str(tmp_path), "APP_ENV": "production"})

    assert refused.returncode == 1
    assert refused.stderr.startswith("SECRET_KEY is not set.")
