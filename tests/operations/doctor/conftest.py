"""An installation in a folder, and what the doctor's questions find in it."""

import json

import pytest

from backend.chassis.database.sessions import open_database
from backend.operations.doctor.__main__ import main

SECRET = "of the tests, which is long enough to sign with"


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
def found(folder, monkeypatch, capsys):
    """What is found about a service, or the suite, with these settings."""

    def ask(*words, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert main(list(words)) == 0
        findings = json.loads(capsys.readouterr().out)
        assert all(each["what"] and each["why"] and each["mend"] for each in findings)
        return [(each["level"], each["what"], each["mend"]) for each in findings]

    return ask


@pytest.fixture
def tables(folder):
    """The tables of a service, as a start makes them."""

    def make(service, url=None):
        database = open_database(url or f"sqlite:///{folder / f'{service}.db'}", service)
        database.migrate(service)
        return database.across_tenants()

    return make
