"""Fixtures for rules that every service must follow."""

import importlib

import pytest
from flask import Flask

from backend.chassis.catalog import CATALOG
from backend.chassis.database.migration_folders import list_services_with_tables
from tests.databases import database_in, variables_in
from tests.password_hashes import fast_password_hashes
from tests.servers import free_port


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Return a function that builds a service as its process does, in its own data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables_in(tmp_path / "data").items():
        monkeypatch.setenv(name, value)
    tables = list_services_with_tables()
    # A suite that runs on the default ports must not change the gateway's documents.
    closed_port = free_port()
    for service in CATALOG:
        monkeypatch.setenv(service.url_variable, f"http://127.0.0.1:{closed_port}")

    def build_service(name: str) -> Flask:
        if name in tables:
            database_in(tmp_path / "data", name)
        return importlib.import_module(f"backend.services.{name}.app").create_app()

    with fast_password_hashes():
        yield build_service
