"""Requests get 503 while the database is busy or the storage is full."""

import errno
import sqlite3
from contextlib import closing
from time import monotonic

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import open_database
from backend.chassis.web.app_factory import create_service, verify_routes
from backend.security import public


@pytest.fixture
def file(tmp_path):
    return tmp_path / "things.db"


@pytest.fixture
def client(file, common, identities):
    database = open_database(f"sqlite:///{file}", "things")
    with database.as_owner() as connection:
        connection.execute(sa.text("CREATE TABLE things (name TEXT)"))
    app = create_service(common, {"database": database.check_connection})

    @app.post("/things")
    @public
    def add_thing() -> dict[str, str]:
        with database.write() as session:
            session.execute(sa.text("INSERT INTO things VALUES (:name)"), {"name": "a" * 100_000})
        return {}

    @app.post("/files")
    @public
    def write_file() -> dict[str, str]:
        raise OSError(errno.ENOSPC, "No space left on device")

    @app.post("/missing")
    @public
    def read_missing_file() -> dict[str, str]:
        raise FileNotFoundError(errno.ENOENT, "No such file")

    app.testing = False
    yield identities.trust(verify_routes(app)).test_client()
    database.engine.dispose()


def test_request_gets_503_database_busy_after_two_seconds(client, file):
    with closing(sqlite3.connect(file, isolation_level=None)) as other_writer:
        other_writer.execute("BEGIN IMMEDIATE")
        started_at = monotonic()
        response = client.post("/things")
        seconds = monotonic() - started_at

    assert (response.status_code, response.json["code"]) == (503, "database_busy")
    assert response.headers["Retry-After"] == "1"
    assert 1.5 < seconds < 30
    assert client.post("/things").status_code == 200


def test_request_gets_503_storage_full_if_the_database_cannot_grow(client, monkeypatch):
    @sa.event.listens_for(sa.Engine, "begin")
    def limit_size(connection):
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA max_page_count = 1")

    try:
        response = client.post("/things")
    finally:
        sa.event.remove(sa.Engine, "begin", limit_size)

    assert (response.status_code, response.json["code"]) == (503, "storage_full")
    assert response.headers["Retry-After"] == "60"


def test_request_gets_503_storage_full_if_the_disk_is_full(client):
    response = client.post("/files")

    assert (response.status_code, response.json["code"]) == (503, "storage_full")


def test_other_file_errors_are_internal(client):
    assert client.post("/missing").status_code == 500
