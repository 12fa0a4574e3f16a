"""What the container files promise, as far as it shows without a container engine."""

import re
from pathlib import Path

import pytest
import yaml

from backend.chassis.catalog import CATALOG, COMPANIONS

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
# The image holds no engine for a model: whoever runs containers runs a model server in one.
CONTAINED = [entry for entry in COMPANIONS if entry.name != "local-model"]
every_service = pytest.mark.parametrize("service", CATALOG, ids=lambda entry: entry.name)


def test_compose_runs_the_catalog_and_its_store_and_nothing_else():
    run = {entry.name for entry in (*CATALOG, *CONTAINED)}
    assert set(COMPOSE["services"]) == run | {"valkey"}


@pytest.mark.parametrize("companion", CONTAINED, ids=lambda entry: entry.name)
def test_compose_runs_each_companion_and_asks_those_that_answer(companion):
    told = COMPOSE["services"][companion.name]

    assert told["command"] == ["serve", companion.name]
    if companion.port_variable:
        assert told["environment"][companion.port_variable] == str(companion.port)
    if companion.probe_path:
        assert told["healthcheck"]["test"][-2:] == ["ready", companion.name]


@every_service
def test_compose_serves_each_service_on_its_port_and_asks_whether_it_is_ready(service):
    told = COMPOSE["services"][service.name]

    assert told["command"] == ["serve", service.name]
    assert told["environment"][service.port_variable] == str(service.port)
    assert told["healthcheck"]["test"][-2:] == ["ready", service.name]


@every_service
def test_services_find_each_other_by_name(service):
    url = COMPOSE["x-service"]["environment"].get(service.url_variable)

    assert url == f"http://{service.name}:{service.port}"


def test_the_gateway_alone_is_reachable_from_outside_and_from_this_host_only_by_default():
    published = {
        name: told["ports"] for name, told in COMPOSE["services"].items() if "ports" in told
    }

    assert list(published) == ["gateway"]
    assert published["gateway"][0].startswith("${GATEWAY_HOST:-127.0.0.1}:")
    assert published["gateway"][0].endswith(":5000")


def test_every_volume_that_is_used_is_declared_and_the_other_way_round():
    used = {
        volume.partition(":")[0]
        for told in COMPOSE["services"].values()
        for volume in told.get("volumes", [])
    }

    assert used == set(COMPOSE["volumes"])


def test_everything_that_depends_names_a_service_with_a_health_check():
    for told in COMPOSE["services"].values():
        for name in told.get("depends_on", {}):
            assert "healthcheck" in COMPOSE["services"][name]


def test_the_image_runs_as_nobody_special_and_copies_what_exists():
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["agent"]
    ignored = (ROOT / ".dockerignore").read_text()
    for source in re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE):
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
