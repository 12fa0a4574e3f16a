"""docs/compatibility.md, row by row: what users of replaced systems type, and what it does here."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml
from flask import Flask

from backend.chassis.catalog import CATALOG, get_service
from backend.chassis.replaced_variables import map_replaced_variables
from backend.chassis.settings import Env
from backend.operations import command_line
from backend.operations.doctor.setting_checks import check_settings
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import make_plan
from backend.services.chat.checkup import run_checks
from backend.services.chat.settings import Settings as ChatSettings
from backend.services.gateway.settings import load_routes
from tests.architecture.test_services import documented_variables

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `?(.+?)`? \| (path|file|variable|host|command|instead) \| (.+) \|$", re.M)
_SETS = re.compile(r"Sets `([A-Z_]+)`")
# What the issue names and no row may be missing for.
EXPECTED = {
    "path": {"/auth/health", "/chat/health", "/admin/health", "/info", "/health/detailed"}
    | {f"{prefix}/admin/users" for prefix in ("", "/api/v1")}
    | {"/admin/operations", "/admin/chat/history", "/admin/me/stats"},
    "file": {"API.md", "tests/performance/locustfile.py"},
    "host": {"package-service", "ai-agent-service", "websocket-service", "auth-service"}
    | {"agent-service", "rag-service", "redis-service"},
    "variable": {"MONGODB_URI", "MONGODB_URL", "POSTGRESQL_URI", "KAFKA_BROKERS", "ENVIRONMENT"}
    | {"PORT", "LANGCHAIN_API_KEY", "ADMIN_EMAIL", "LOG_LEVEL", "SESSION_TTL", "CONFIG_CACHE_TTL"}
    | {"RESPONSE_CACHE_TTL", "REQUEST_TIMEOUT_MS", "DEFAULT_RATE_LIMIT", "BURST_LIMIT"}
    | {"FLASK_ENV", "ADMIN_PASSWORD"},
    "instead": {"docker build -t api-gateway .", "docker stats chat-service", "redis-cli ping"}
    | {'redis-cli llen "queue:messages"', "mongosh", "kompose convert", "infrastructure/"}
    | {"track_llm_usage", "track_graph_node", "agent_logs", "model_cache", "connections"}
    | {"subscriptions", "message_queue", "one database for all services", "bcrypt", "python3.8"},
}


class Row(NamedTuple):
    """A row of the table."""

    typed: str
    kind: str
    here: str


TEXT = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
ROWS = [Row(*match) for match in _ROW.findall(TEXT)]


def rows(kind: str) -> pytest.MarkDecorator:
    found = [row for row in ROWS if row.kind == kind]
    return pytest.mark.parametrize("row", found, ids=lambda row: row.typed)


def test_every_line_of_the_table_is_a_row_and_no_row_is_missing_or_repeated():
    lines = [line for line in TEXT.splitlines() if line.startswith("|")]

    assert len(ROWS) == len(lines) - 2
    assert len({row.typed for row in ROWS}) == len(ROWS)
    for kind, names in EXPECTED.items():
        assert names <= {row.typed for row in ROWS if row.kind == kind}, kind


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.typed)
def test_every_row_says_what_to_expect_in_a_sentence(row):
    assert re.search(r"[A-Za-z`/)].*\.$", row.here)


def test_every_path_is_served_by_the_gateway_or_on_the_own_port(
    build: Callable[[str], Flask],
) -> None:
    apps = {entry.name: build(entry.name) for entry in CATALOG if entry.name != "realtime"}
    table = load_routes(Env(os.environ))
    ports = {entry.port: entry.name for entry in CATALOG}
    missing = []
    for row in ROWS:
        if row.kind != "path":
            continue
        if port := re.match(r":(\d+)(/.*)", row.typed):
            name, path = ports[int(port[1])], port[2]
        elif route := table.find_route(row.typed):
            name, path = route[0].service, route[1]
            assert not route[0].is_closed(path)
        else:
            name, path = "gateway", row.typed
        # 405 for paths with other methods, 401 without credentials.
        status = apps[name].test_client().get(path).status_code
        if status == 404:
            missing.append(f"{row.typed}: {name} {path}")
    assert missing == []


def test_version_of_each_service_is_at_least_0_2_0(build):
    for name in ("auth", "chat", "packages"):
        version = build(name).test_client().get("/health").json["version"]
        assert tuple(map(int, version.split("."))) >= (0, 2, 0)


@rows("file")
def test_file_exists_and_can_be_read_by_its_program(row):
    path = ROOT / row.typed

    assert path.exists()
    if path.suffix in (".yml", ".yaml"):
        assert [item for item in yaml.safe_load_all(path.read_text()) if item]
    if path.suffix == ".sh":
        assert os.access(path, os.X_OK)
        subprocess.run(["/bin/bash", "-n", path], check=True, timeout=30)


@cache
def read_services(file: str) -> dict[str, Any]:
    """Return the services of a Compose file."""
    services: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())["services"]
    return services


@rows("host")
def test_containers_reach_the_service_by_this_name(row):
    for file in ("docker-compose.yml", "docker-compose.microservices.yml", "deploy/swarm.yml"):
        hosts = {
            alias
            for name, service in read_services(file).items()
            if isinstance(networks := service.get("networks"), dict)
            for alias in (name, *(networks.get("inner") or {}).get("aliases", ()))
        }
        assert row.typed in hosts, file


def sample(name: str) -> str:
    if name in ("ENVIRONMENT", "FLASK_ENV"):
        return "production"
    return "postgresql://h/d" if name == "POSTGRESQL_URI" else "50"


@rows("variable")
def test_variable_sets_or_is_read_or_is_reported_by_doctor(row, tmp_path):
    values = {row.typed: sample(row.typed)}
    target = _SETS.match(row.here)
    if target:
        assert map_replaced_variables(values).keys() == {target[1]}
    elif row.here.startswith("Read"):
        assert row.typed in documented_variables()
    else:
        assert row.here.startswith("`doctor`")
    if "`doctor`" in row.here:
        folders = {"DATA_DIR": str(tmp_path / "data"), "LOG_DIR": str(tmp_path / "logs")}
        variables = EnvironmentVariables(folders | values)
        plan = make_plan(command_line.ROOT, variables)
        settings = ChatSettings.from_env(Env(folders | values))
        problems = [
            finding.problem
            for finding in (
                *check_settings(plan, variables, running=False),
                *run_checks(settings, tables_ok=True, running=False),
            )
        ]
        assert any(row.typed in problem for problem in problems)


@rows("command")
def test_command_names_existing_files_and_services(row):
    words = row.typed.split()
    files = [word for word in words if re.search(r"\.(yml|yaml|sh|py)$|^k8s/|/Dockerfile$", word)]
    for word in files:
        assert (ROOT / word).exists(), word
    if words[0] == "docker-compose":
        compose = yaml.safe_load((ROOT / (files or ["docker-compose.yml"])[0]).read_text())
        if "up" in words:
            names = [word.partition("=")[0] for word in words[words.index("up") + 1 :]]
        else:
            names = [next(word for word in words[words.index("run") + 1 :] if word[0] != "-")]
        for name in names:
            assert name.startswith("-") or name in compose["services"]
        if "--profile" in words:
            profile = words[words.index("--profile") + 1]
            assert any(profile in item.get("profiles", ()) for item in compose["services"].values())
    if words[0] == "pytest":
        assert (ROOT / words[1]).is_dir()


@rows("instead")
def test_replacement_that_is_named_exists(row):
    for path in re.findall(r"`?((?:docs|deploy|docker|k8s)(?:/[A-Za-z0-9._/-]+)?)`", row.here):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"python -m (backend\.services\.\w+\.app|benchmarks[\w.]+)", row.here):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    for name in re.findall(r"(?:metric|table) `(\w+)`", row.here):
        sources = (ROOT / "backend").rglob("*.py")
        assert any(f'"{name}"' in source.read_text() for source in sources), name
    for port in re.findall(r"([A-Z]+)_SERVICE_PORT", row.here):
        assert get_service(port.lower())


@pytest.fixture
def project(tmp_path):
    """A folder with the scripts and a start script that writes its arguments."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    start = tmp_path / "start_microservices.sh"
    start.write_text('#!/bin/sh\nmkdir -p .venv/bin; : > .venv/bin/activate; echo "$@"\n')
    start.chmod(0o755)

    def run(script: str, *arguments: str) -> str:
        return subprocess.run(
            [tmp_path / "scripts" / script, *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout.strip()

    return run


def test_scripts_call_the_start_script_with_their_arguments(project, tmp_path):
    assert project("start.sh", "--detach", "--only", "auth") == "--detach --only auth"
    assert project("health_check.sh") == "status"
    assert project("setup.sh", "--tests") == "install --tests"
    assert (tmp_path / "venv" / "bin" / "activate").exists()
    # Once more, with the link in place.
    assert project("setup.sh") == "install"
    assert (tmp_path / "venv").readlink() == Path(".venv")


def test_setup_keeps_a_folder_of_the_user(project, tmp_path):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "own").touch()
    project("setup.sh")

    assert (tmp_path / "venv" / "own").exists()


@pytest.mark.parametrize("name", ["ci", "deploy"])
def test_each_step_of_a_workflow_is_a_make_target(name):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]

    assert [step["run"] for step in steps if "run" in step]
    for step in steps:
        assert "uses" in step or step["run"].removeprefix("make ") in targets


def test_workflows_match_their_schema():
    checker = shutil.which("check-jsonschema", path=str(ROOT / ".venv-dev" / "bin"))
    assert checker is not None
    files = sorted((ROOT / ".github" / "workflows").iterdir())
    for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
        command = [checker, "--builtin-schema", schema, *files]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("arguments", "own_expression", "slow", "expected"),
    [
        (["tests/e2e/"], "", False, "((browser)) and (not slow)"),
        (["tests/integration"], "", True, "((suite and not browser))"),
        (["tests/e2e"], "not model", False, "((browser)) and (not model) and (not slow)"),
    ],
)
def test_folders_of_documented_commands_select_tests_by_markers(
    pytestconfig, arguments, own_expression, slow, expected
):
    select = find_conftest(pytestconfig)._select_by_folder
    config = make_config(arguments, own_expression, slow=slow)
    select(config)

    assert config.args == [str(ROOT / "tests")]
    assert config.option.markexpr == expected


def test_other_paths_are_unchanged_and_cannot_be_mixed_with_these_folders(pytestconfig):
    select = find_conftest(pytestconfig)._select_by_folder
    config = make_config(["tests/chassis", "tests/suite"], "slow", slow=False)
    select(config)
    assert (config.args, config.option.markexpr) == (["tests/chassis", "tests/suite"], "slow")

    with pytest.raises(pytest.UsageError, match="without other paths"):
        select(make_config(["tests/unit", "tests/chassis"], "", slow=False))


def find_conftest(config: pytest.Config) -> Any:
    file = str(ROOT / "tests" / "conftest.py")
    (found,) = (
        plugin
        for plugin in config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == file
    )
    return found


def make_config(arguments: list[str], expression: str, *, slow: bool) -> Any:
    return SimpleNamespace(
        args=arguments,
        option=SimpleNamespace(markexpr=expression, slow=slow),
        invocation_params=SimpleNamespace(dir=ROOT),
    )
