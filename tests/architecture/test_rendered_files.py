"""Deployment files that are derived from others: current, valid, and complete."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from backend.chassis.catalog import CATALOG
from backend.chassis.settings import Env, SettingsError
from backend.operations.supervisor.entrypoint import REPLACED_NAMES
from tests.architecture.kubernetes_schemas import load_validator

ROOT = Path(__file__).parents[2]
KUBECTL = shutil.which("kubectl")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
MICROSERVICES = yaml.safe_load((ROOT / "docker-compose.microservices.yml").read_text())
DEVELOPMENT = yaml.safe_load((ROOT / "docker" / "docker-compose.dev.yml").read_text())
SWARM = yaml.safe_load((ROOT / "deploy" / "swarm.yml").read_text())
# Keys that docker/cli lists as forbidden, unsupported or deprecated in stacks, and those of the
# Compose specification that its schema 3.9 does not have.
IGNORED_BY_SWARM = {
    "build",
    "cgroup_parent",
    "container_name",
    "cpus",
    "cpu_quota",
    "cpu_shares",
    "cpuset",
    "depends_on",
    "devices",
    "expose",
    "extends",
    "ipc",
    "links",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "network_mode",
    "pid",
    "pids_limit",
    "privileged",
    "profiles",
    "restart",
    "security_opt",
    "shm_size",
    "tmpfs",
    "userns_mode",
    "volumes_from",
}


def load_render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", ROOT / "deploy" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rendered_files_are_current():
    expected = load_render().render_all(KUBECTL)

    outdated = [str(file) for file, text in expected.items() if file.read_text() != text]
    assert outdated == [], "run: make render"


@pytest.mark.parametrize(
    "file",
    ["docker-compose.microservices.yml", "docker/docker-compose.dev.yml", "deploy/swarm.yml"],
)
def test_compose_files_match_the_compose_specification(file):
    checker = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    assert checker is not None
    command = [checker, "--builtin-schema", "vendor.compose-spec", str(ROOT / file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stdout


def test_microservices_file_uses_the_names_of_the_replaced_systems():
    names = {old: new for new, old in REPLACED_NAMES.items()}
    expected = {names.get(name, name) for name in COMPOSE["services"]}

    assert set(MICROSERVICES["services"]) == expected
    assert MICROSERVICES["services"]["api-gateway"]["ports"] == [
        "${GATEWAY_HOST:-127.0.0.1}:${GATEWAY_PORT:-80}:5000"
    ]
    for service in MICROSERVICES["services"].values():
        assert service["depends_on"].keys() <= expected


@pytest.mark.parametrize("compose", [COMPOSE, MICROSERVICES], ids=["usual", "microservices"])
def test_every_url_names_a_service_or_an_alias(compose):
    hosts = set(compose["services"])
    for service in compose["services"].values():
        networks = service.get("networks", {})
        if isinstance(networks, dict):
            hosts |= set((networks.get("inner") or {}).get("aliases", ()))

    assert {entry.name for entry in CATALOG} <= hosts
    assert {"valkey", "redis", "redis-service", "auth-service", "agent-service", "rag-service"} <= (
        hosts
    )
    assert set(REPLACED_NAMES) <= hosts


def test_compose_limits_and_reserves_memory_and_limits_cpus():
    for name in (entry.name for entry in CATALOG):
        service = COMPOSE["services"][name]
        assert {"mem_limit", "mem_reservation", "cpus"} <= service.keys(), name


def test_development_databases_are_published_on_loopback_only():
    services = DEVELOPMENT["services"]

    assert {name for name, item in services.items() if "profiles" not in item} == {
        "postgres",
        "redis",
    }
    assert {name for name, item in services.items() if item.get("profiles") == [name]} == {
        "kafka",
        "rabbitmq",
        "mongodb",
    }
    for item in services.values():
        assert all(port.startswith("127.0.0.1:") for port in item["ports"])


def test_swarm_file_has_no_key_that_swarm_ignores():
    for name, service in SWARM["services"].items():
        assert not service.keys() & IGNORED_BY_SWARM, name
        assert {"restart_policy", "resources"} <= service["deploy"].keys(), name
        resources = service["deploy"]["resources"]
        assert "memory" in resources["limits"]
        assert {"memory", "cpus"} <= resources["reservations"].keys()
    assert {entry.name for entry in CATALOG} <= SWARM["services"].keys()


def test_docker_accepts_the_swarm_file(tmp_path):
    docker = shutil.which("docker")
    supports = docker and subprocess.run(
        [docker, "stack", "config", "--help"], capture_output=True, timeout=30
    )
    if not supports or supports.returncode:
        pytest.skip("a docker client from version 23 on is needed")
    shutil.copytree(ROOT / "deploy" / "compose", tmp_path / "deploy" / "compose")
    shutil.copy(ROOT / "deploy" / "swarm.yml", tmp_path / "deploy")
    (tmp_path / ".env").write_text("APP_ENV=development\n")

    result = subprocess.run(
        [docker, "stack", "config", "--compose-file", tmp_path / "deploy" / "swarm.yml"],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert result.returncode == 0, result.stderr
    assert "Ignoring" not in result.stderr


def test_kubernetes_files_match_their_schemas():
    validate = load_validator()
    names = {file.name for file in (ROOT / "k8s").iterdir()}

    assert names == {
        f"{name}.yaml"
        for name in ("namespace", "configmap", "secrets", "deployment", "service", "ingress")
    }
    for name in names:
        for item in yaml.safe_load_all((ROOT / "k8s" / name).read_text()):
            validate(item)


def test_production_refuses_the_values_of_the_secret_template():
    secret = yaml.safe_load((ROOT / "k8s" / "secrets.yaml").read_text())

    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        with pytest.raises(SettingsError, match=name):
            Env({"APP_ENV": "production", name: secret["stringData"][name]}).secret(name)


def test_dockerfile_serves_the_service_that_a_variable_names():
    dockerfile = ROOT / "docker" / "Dockerfile"

    # BuildKit reads a link to a file outside its folder as missing.
    assert not dockerfile.is_symlink()
    assert dockerfile.read_text().rstrip().endswith('CMD ["serve"]')


@pytest.mark.parametrize(
    ("variables", "user", "database"),
    [
        ({}, "agent", "agent"),
        ({"DATABASE_URL": "postgresql://sh%40p:a%2Fb@postgres:5432/shop?x=1"}, "sh@p", "shop"),
        ({"POSTGRESQL_URI": "postgresql+asyncpg://shop:a%2Fb@postgres/shop"}, "shop", "shop"),
        ({"DATABASE_URL": "postgresql://shop:pw@db.example.org/shop"}, "agent", "agent"),
    ],
)
def test_user_of_a_database_url_with_host_postgres_is_created_once(
    tmp_path, variables, user, database
):
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "PASSWORDS_FOLDER": str(tmp_path)}
    script = ROOT / "deploy" / "compose" / "passwords.sh"
    subprocess.run(["/bin/sh", script], env=environment | variables, check=True, timeout=30)
    first = {file.name: file.read_text() for file in tmp_path.iterdir()}
    subprocess.run(["/bin/sh", script], env=environment, check=True, timeout=30)

    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == first
    assert (first["postgres-user"], first["postgres-database"]) == (user, database)
    if user != "agent":
        assert first["postgres"] == "a/b"
        assert ":a%2Fb@postgres:5432/shop" in first["database-url"]
