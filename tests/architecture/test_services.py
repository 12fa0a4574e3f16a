"""What holds for every service, also for those not written yet."""

import importlib
import re
import threading
from pathlib import Path

import pytest
from flask import Flask

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.security.guards import undeclared
from tests.databases import variables_in

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "backend" / "services"
FOLDERS = sorted(path.name for path in SERVICES.iterdir() if (path / "__init__.py").exists())
# The last part of `env.number("NAME"` and of every other way a variable is asked for.
_ASKED = re.compile(
    r"""(?:environ(?:\.get)?\s*[(\[]|env\.(?:text|optional|number|decimal|flag|choice|secret"""
    r"""|several|seconds|path)\(|getenv\()\s*["']([A-Z][A-Z0-9_]+)["']"""
)


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Build a service as its process does, in a data folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables_in(tmp_path / "data").items():
        monkeypatch.setenv(name, value)

    def build_service(name: str) -> Flask:
        return importlib.import_module(f"backend.services.{name}.app").create_app()

    return build_service


def test_the_catalog_lists_every_folder_and_nothing_else():
    assert sorted(entry.name for entry in CATALOG) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_every_route_declares_who_may_call_it(build, name):
    assert list(undeclared(build(name))) == []


@pytest.mark.parametrize("name", FOLDERS)
def test_every_service_tells_its_health_and_its_routes(build, name):
    client = build(name).test_client()

    assert client.get("/health/live").status_code == 200
    assert client.get("/info").json["service"].startswith(name)
    assert client.get("/openapi.json").json["openapi"].startswith("3.1")
    assert client.get("/nowhere").content_type == "application/problem+json"


@pytest.mark.parametrize("name", FOLDERS)
def test_every_service_has_the_rooms(name):
    rooms = {path.stem for path in (SERVICES / name).iterdir()}
    assert {"__init__", "app", "settings", "routes", "domain", "errors"} <= rooms


@pytest.mark.parametrize("name", FOLDERS)
def test_every_service_is_introduced_by_a_paragraph_without_imports(name):
    text = (SERVICES / name / "__init__.py").read_text()
    assert text.startswith('"""')
    assert "import " not in text.replace(" imports", "")


def asked_variables() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "backend").rglob("*.py"):
        if "routes" not in path.parts:  # what they call environ is the request's
            found |= set(_ASKED.findall(path.read_text()))
    for entry in CATALOG:
        found |= {entry.port_variable, entry.url_variable}
        prefix = entry.port_variable.removesuffix("_PORT")
        found |= {f"{prefix}_WORKERS", f"{prefix}_THREADS"}  # by backend/chassis/web/serving.py
    for companion in COMPANIONS:
        found |= {companion.port_variable, companion.url_variable} - {""}
    return found


def test_every_variable_that_is_asked_for_stands_in_the_example():
    told = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M))

    assert asked_variables() - told == set()


def test_every_variable_of_the_example_is_asked_for_somewhere():
    told = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M))
    text = "\n".join(path.read_text() for path in (ROOT / "backend").rglob("*.py"))
    text += (ROOT / "start_microservices.sh").read_text()

    unheard = {name for name in told - asked_variables() if name not in text}

    assert unheard == set()


def test_below_the_settings_nobody_reads_the_environment():
    allowed = {"settings.py", "serving.py", "__main__.py"}
    readers = [
        str(path.relative_to(ROOT))
        for path in SERVICES.rglob("*.py")
        if path.name not in allowed and re.search(r"os\.environ|getenv", path.read_text())
    ]
    assert readers == []


def test_no_two_services_name_a_table_alike():
    owners: dict[str, str] = {}
    for name in FOLDERS:
        migrations = (SERVICES / name / "migrations").glob("*.py")
        for path in migrations:
            for table in re.findall(r"create_table\(\s*[\"'](\w+)", path.read_text()):
                assert owners.setdefault(table, name) == name, f"{table} is in two services"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_migration_is_named_after_its_revision_and_follows_the_one_before(name):
    files = sorted((SERVICES / name / "migrations").glob("[0-9]*_*.py"))
    before = None
    for file in files:
        text = file.read_text()
        number = file.name.partition("_")[0]
        assert f'revision = "{number}"' in text.splitlines()
        assert f"down_revision = {before}" in text.splitlines()
        before = f'"{number}"'


def test_an_app_is_made_without_leaving_threads_that_hold_the_process(build):
    # gunicorn forks after loading; a thread made before does not survive it.
    for name in FOLDERS:
        build(name)
    others = set(threading.enumerate()) - {threading.main_thread()}
    assert [thread.name for thread in others if not thread.daemon] == []
