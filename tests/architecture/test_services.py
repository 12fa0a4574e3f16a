"""Rules for every service, also for services that do not exist yet."""

import re
import threading
from pathlib import Path

import pytest

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.security.guards import routes_without_guard

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "backend" / "services"
FOLDERS = sorted(path.name for path in SERVICES.iterdir() if (path / "__init__.py").exists())
# `env.number("NAME"` and all other ways to read a variable.
_READ_VARIABLE = re.compile(
    r"""(?:environ(?:\.get)?\s*[(\[]|env\.(?:text|optional|number|decimal|flag|choice|secret"""
    r"""|several|seconds|path)\(|getenv\()\s*["']([A-Z][A-Z0-9_]+)["']"""
)


def test_catalog_lists_exactly_the_service_packages():
    assert sorted(entry.name for entry in CATALOG) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_every_route_declares_a_guard(build, name):
    assert list(routes_without_guard(build(name))) == []


@pytest.mark.parametrize("name", FOLDERS)
def test_every_service_serves_health_info_and_openapi(build, name):
    client = build(name).test_client()

    assert client.get("/health/live").status_code == 200
    assert client.get("/info").json["service"].startswith(name)
    assert client.get("/openapi.json").json["openapi"].startswith("3.1")
    assert client.get("/unknown").content_type == "application/problem+json"


@pytest.mark.parametrize("name", FOLDERS)
def test_every_service_has_the_required_packages(name):
    packages = {path.stem for path in (SERVICES / name).iterdir()}
    assert {"__init__", "app", "service", "settings", "routes", "domain", "errors"} <= packages


@pytest.mark.parametrize("name", FOLDERS)
def test_every_service_package_has_a_docstring_and_no_imports(name):
    text = (SERVICES / name / "__init__.py").read_text()
    assert text.startswith('"""')
    assert "import " not in text.replace(" imports", "")


def read_variables() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "backend").rglob("*.py"):
        if "routes" not in path.parts:  # there `environ` is the WSGI environment of the request
            found |= set(_READ_VARIABLE.findall(path.read_text()))
    for entry in CATALOG:
        found |= {entry.port_variable, entry.url_variable}
        prefix = entry.port_variable.removesuffix("_PORT")
        found |= {f"{prefix}_WORKERS", f"{prefix}_THREADS"}  # by backend/chassis/web/serving.py
    for companion in COMPANIONS:
        found |= {companion.port_variable, companion.url_variable} - {""}
    return found


def documented_variables() -> set[str]:
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


def test_every_variable_is_documented_in_env_example():
    documented = set(
        re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M)
    )

    assert read_variables() - documented == set()


def test_every_documented_variable_is_read():
    documented = set(
        re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M)
    )
    text = "\n".join(path.read_text() for path in (ROOT / "backend").rglob("*.py"))
    text += (ROOT / "start_microservices.sh").read_text()

    unread = {name for name in documented - read_variables() if name not in text}

    assert unread == set()


def test_only_settings_modules_read_the_environment():
    allowed = {"settings.py", "serving.py", "__main__.py"}
    readers = [
        str(path.relative_to(ROOT))
        for path in SERVICES.rglob("*.py")
        if path.name not in allowed and re.search(r"os\.environ|getenv", path.read_text())
    ]
    assert readers == []


def test_table_names_are_unique_across_services():
    owners: dict[str, str] = {}
    for name in FOLDERS:
        migrations = (SERVICES / name / "migrations").glob("*.py")
        for path in migrations:
            for table in re.findall(r"create_table\(\s*[\"'](\w+)", path.read_text()):
                assert owners.setdefault(table, name) == name, f"{table} exists in two services"


@pytest.mark.parametrize("name", FOLDERS)
def test_migration_file_name_matches_its_revision_and_predecessor(name):
    files = sorted((SERVICES / name / "migrations").glob("[0-9]*_*.py"))
    previous = None
    for file in files:
        text = file.read_text()
        number = file.name.partition("_")[0]
        assert f'revision = "{number}"' in text.splitlines()
        assert f"down_revision = {previous}" in text.splitlines()
        previous = f'"{number}"'


def test_create_app_leaves_no_thread_that_prevents_exit(build):
    # gunicorn forks after loading; a thread started before does not exist in the worker.
    before = set(threading.enumerate())
    for name in FOLDERS:
        build(name)
    others = set(threading.enumerate()) - before
    assert [thread.name for thread in others if not thread.daemon] == []
