"""One name with an address for each instance, as containers have it: `http://rag:5003`."""

import json
from collections import Counter
from contextlib import ExitStack
from itertools import count

import pytest

from backend.chassis.dns import Names
from tests.servers import free_port, wait_until
from tests.services.gateway.carriers import Caller
from tests.services.gateway.stand_ins import EchoService

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
def services():
    """An echoing service on each of three addresses and one port."""
    port = free_port()
    with ExitStack() as stack:
        yield [stack.enter_context(EchoService(host, host, port)) for host in HOSTS]


@pytest.fixture
def book():
    """The addresses of each name; a test writes them."""
    return {"rag": [HOSTS[0]]}


@pytest.fixture
def edge(edge_for, services, book):
    # By this clock every look is due.
    names = Names(lambda host, port: book[host], count(step=60).__next__)
    edge = edge_for(names=names, RAG_SERVICE_URL=f"http://rag:{services[0].port}")
    wait_until(lambda: places(edge) == {HOSTS[0]})
    return edge


def places(edge):
    return {each.address for each in edge.carrier.forwarding.instances["rag"].all}


def answered(edge, bearer, times=12):
    """Which instances answered, how often."""
    with Caller(edge.port) as caller:
        answers = [caller.ask("GET", "/rag/x", bearer) for _ in range(times)]
    assert {answer.status for answer in answers} == {200}
    return Counter(json.loads(answer.body)["service"] for answer in answers)


def test_requests_go_to_every_address_of_a_name_and_to_those_that_come(edge, bearer, book):
    assert set(answered(edge, bearer)) == {HOSTS[0]}

    book["rag"] = [*HOSTS]
    wait_until(lambda: places(edge) == set(HOSTS))

    # Equally busy ones take turns.
    assert answered(edge, bearer) == dict.fromkeys(HOSTS, 4)


def test_who_has_left_the_name_gets_no_more_and_nobody_notices(edge, bearer, book, services):
    book["rag"] = [*HOSTS]
    wait_until(lambda: places(edge) == set(HOSTS))

    # The order in which scaling down happens: it dies first, the name follows later.
    services[2].stop()
    assert HOSTS[2] not in answered(edge, bearer)
    book["rag"] = [*HOSTS[:2]]

    wait_until(lambda: places(edge) == {*HOSTS[:2]})
    assert set(answered(edge, bearer)) == {*HOSTS[:2]}


def test_services_are_told_the_name_they_were_called_by(edge, bearer, services):
    with Caller(edge.port) as caller:
        answer = caller.ask("GET", "/rag/x", bearer)

    assert ["Host", f"rag:{services[0].port}"] in json.loads(answer.body)["headers"]
