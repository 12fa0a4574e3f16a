"""Where a host's addresses come from, and what happens while nobody knows them."""

import socket
import threading

import pytest

from backend.chassis.dns import REFRESH_SECONDS, Names, resolve
from tests.servers import wait_until


class Server:
    """A name server that a test writes."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, host, port):
        assert self.answers.wait(10)
        if not self.addresses:
            raise socket.gaierror("no such host")
        return self.addresses


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_addresses_are_followed_while_they_change(clock):
    server = Server("10.0.0.1")
    names = Names(server, clock)
    assert names.find("rag", 5003) == ("10.0.0.1",)
    wait_until(lambda: names.known("rag", 5003) == ("10.0.0.1",))
    server.addresses = ("10.0.0.2", "10.0.0.1")

    def later():
        clock.now += REFRESH_SECONDS
        return names.known("rag", 5003) == ("10.0.0.1", "10.0.0.2")

    wait_until(later)


def test_asking_what_is_known_never_waits_for_a_slow_name_server(clock):
    server = Server("10.0.0.1")
    server.answers.clear()
    names = Names(server, clock)

    assert names.known("rag", 5003) is None
    server.answers.set()

    wait_until(lambda: names.known("rag", 5003) == ("10.0.0.1",))


def test_a_name_server_that_is_away_takes_no_instance_away(clock):
    server = Server("10.0.0.1")
    names = Names(server, clock)
    names.find("rag", 5003)
    asked = []
    server.addresses = ()
    names._resolve = lambda host, port: asked.append(host) or server(host, port)

    def again():
        clock.now += REFRESH_SECONDS
        return names.known("rag", 5003) and len(asked) > 1

    wait_until(again)
    assert names.known("rag", 5003) == ("10.0.0.1",)


def test_a_name_of_nobody_is_an_error_to_who_needs_it(clock):
    with pytest.raises(OSError, match="no such host"):
        Names(Server(), clock).find("rag", 5003)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_what_needs_no_name_server_asks_none(host, clock):
    assert Names(Server(), clock).find(host, 5003) == (host,)


def test_the_systems_own_names_are_found_in_one_family():
    assert resolve("localhost", 80) in (("127.0.0.1",), ("::1",))
