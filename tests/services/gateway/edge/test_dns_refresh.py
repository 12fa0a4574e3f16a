"""A host name with one address per instance, as in container networks: `http://rag:5003`."""

import json
from collections import Counter
from contextlib import ExitStack
from itertools import count

import pytest

from backend.chassis.dns import HostResolver
from tests.servers import free_port, wait_until
from tests.services.gateway.data_paths import RawClient
from tests.services.gateway.echo_service import EchoService

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
def services():
    """Yield an echo service on each of three addresses, with the same port."""
    port = free_port()
    with ExitStack() as stack:
        yield [stack.enter_context(EchoService(host, host, port)) for host in HOSTS]


@pytest.fixture
def addresses():
    """Return the addresses of each host name. Tests change them."""
    return {"rag": [HOSTS[0]]}


@pytest.fixture
def edge(edge_for, services, addresses):
    # With this clock, every lookup is due.
    resolver = HostResolver(lambda host, port: addresses[host], count(step=60).__next__)
    edge = edge_for(resolver=resolver, RAG_SERVICE_URL=f"http://rag:{services[0].port}")
    wait_until(lambda: get_addresses(edge) == {HOSTS[0]})
    return edge


def get_addresses(edge):
    return {instance.address for instance in edge.state.forwarder.instance_groups["rag"].instances}


def count_responses(edge, bearer, times=12):
    """Return the number of responses by instance."""
    with RawClient(edge.port) as client:
        responses = [client.request("GET", "/rag/x", bearer) for _ in range(times)]
    assert {response.status for response in responses} == {200}
    return Counter(json.loads(response.body)["service"] for response in responses)


def test_requests_use_all_addresses_including_new_ones(edge, bearer, addresses):
    assert set(count_responses(edge, bearer)) == {HOSTS[0]}

    addresses["rag"] = [*HOSTS]
    wait_until(lambda: get_addresses(edge) == set(HOSTS))

    # Equally busy instances are used in turn.
    assert count_responses(edge, bearer) == dict.fromkeys(HOSTS, 4)


def test_removed_address_gets_no_requests_and_no_request_fails(edge, bearer, addresses, services):
    addresses["rag"] = [*HOSTS]
    wait_until(lambda: get_addresses(edge) == set(HOSTS))

    # As in a scale-down: the instance stops first, and DNS changes later.
    services[2].stop()
    assert HOSTS[2] not in count_responses(edge, bearer)
    addresses["rag"] = [*HOSTS[:2]]

    wait_until(lambda: get_addresses(edge) == {*HOSTS[:2]})
    assert set(count_responses(edge, bearer)) == {*HOSTS[:2]}


def test_host_header_is_the_configured_name(edge, bearer, services):
    with RawClient(edge.port) as client:
        response = client.request("GET", "/rag/x", bearer)

    assert ["Host", f"rag:{services[0].port}"] in json.loads(response.body)["headers"]
