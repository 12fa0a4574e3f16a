"""An installation in a folder, and the findings of `doctor` about it."""

import json

import pytest

from backend.chassis.database.sessions import open_database
from backend.operations.doctor.__main__ import main

SECRET = "a phrase of many words, long enough to sign tokens with"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST", "REDIS_PORT", "CHROMA_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        monkeypatch.setenv(name, SECRET)
    return tmp_path


@pytest.fixture
def run_doctor(folder, monkeypatch, capsys):
    """Run the checks of a service, or of the suite, with settings.

    Returns (level, problem, fix) of each finding.
    """

    def run(*arguments, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert main(list(arguments)) == 0
        (findings,) = json.loads(capsys.readouterr().out).values()
        assert all(finding["what"] and finding["why"] and finding["mend"] for finding in findings)
        return [(finding["level"], finding["what"], finding["mend"]) for finding in findings]

    return run


@pytest.fixture
def create_tables(folder):
    """Create the tables of a service as a start does."""

    def create(service, url=None):
        database = open_database(url or f"sqlite:///{folder / f'{service}.db'}", service)
        database.migrate(service)
        return database.across_tenants()

    return create
