"""docker/docker-compose.dev.yml, run unchanged: PostgreSQL and Valkey on the loopback address.

The images of Kafka, RabbitMQ and MongoDB cannot be made from packages of Debian 12 under their
names, so the profiles are only checked against the specification (tests/architecture).
"""

import json

import psycopg
import pytest
import redis

from tests.containers.machine import MARKERS
from tests.containers.suite import composed_suite
from tests.servers import free_port, wait_until

pytestmark = MARKERS


@pytest.fixture(scope="module")
def ports():
    return {"POSTGRES_PORT": free_port(), "REDIS_PORT": free_port()}


@pytest.fixture(scope="module")
def databases(machine, ports):
    file = "docker/docker-compose.dev.yml"
    with composed_suite(machine, file, "databases", 0, ports) as composed:
        composed.compose("up", "--detach", "postgres", "redis")
        composed.wait_until_healthy("postgres", "redis")
        yield composed


@pytest.fixture
def connection(ports):
    # The address of the comment at the start of the file.
    url = f"postgresql://agent:agent@127.0.0.1:{ports['POSTGRES_PORT']}/agent"
    with psycopg.connect(url, connect_timeout=30) as opened:
        yield opened


def test_databases_are_published_on_the_loopback_address_only(databases):
    listed = json.loads(databases.machine.podman("ps", "--format", "json"))
    published = [port["host_ip"] for item in listed for port in item["Ports"] or ()]

    assert published == ["127.0.0.1", "127.0.0.1"]


def test_both_can_be_used_and_keep_their_data(databases, ports, connection):
    with redis.Redis(port=ports["REDIS_PORT"]) as valkey:
        valkey.set("kept", "yes")
    connection.execute("create table kept (id integer)")
    connection.commit()
    connection.close()

    databases.compose("down")
    databases.compose("up", "--detach", "postgres", "redis")
    databases.wait_until_healthy("postgres", "redis")

    url = f"postgresql://agent:agent@127.0.0.1:{ports['POSTGRES_PORT']}/agent"
    with psycopg.connect(url) as second, redis.Redis(port=ports["REDIS_PORT"]) as valkey:
        assert second.execute("select count(*) from kept").fetchone() == (0,)
        wait_until(lambda: valkey.get("kept") == b"yes")
