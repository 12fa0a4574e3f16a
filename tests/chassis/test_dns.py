"""Lookup, caching and refresh of host addresses."""

import socket
import threading

import pytest

from backend.chassis.dns import REFRESH_SECONDS, HostResolver, resolve_host
from tests.servers import wait_until


class NameServer:
    """Name server with addresses that a test sets. It blocks while `is_responding` is not set."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.is_responding = threading.Event()
        self.is_responding.set()

    def __call__(self, host, port):
        assert self.is_responding.wait(60)
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


def test_cached_addresses_are_refreshed(clock):
    server = NameServer("10.0.0.1")
    resolver = HostResolver(server, clock)
    assert resolver.get_addresses("rag", 5003) == ("10.0.0.1",)
    wait_until(lambda: resolver.get_cached_addresses("rag", 5003) == ("10.0.0.1",))
    server.addresses = ("10.0.0.2", "10.0.0.1")

    def has_new_addresses():
        clock.now += REFRESH_SECONDS
        return resolver.get_cached_addresses("rag", 5003) == ("10.0.0.1", "10.0.0.2")

    wait_until(has_new_addresses)


def test_get_cached_addresses_does_not_wait_for_the_name_server(clock):
    server = NameServer("10.0.0.1")
    server.is_responding.clear()
    resolver = HostResolver(server, clock)

    assert resolver.get_cached_addresses("rag", 5003) is None
    server.is_responding.set()

    wait_until(lambda: resolver.get_cached_addresses("rag", 5003) == ("10.0.0.1",))


def test_failed_refresh_keeps_the_last_addresses(clock):
    server = NameServer("10.0.0.1")
    resolver = HostResolver(server, clock)
    resolver.get_addresses("rag", 5003)
    lookups = []
    server.addresses = ()
    resolver._resolve = lambda host, port: lookups.append(host) or server(host, port)

    def is_refreshed():
        clock.now += REFRESH_SECONDS
        return resolver.get_cached_addresses("rag", 5003) and len(lookups) > 1

    wait_until(is_refreshed)
    assert resolver.get_cached_addresses("rag", 5003) == ("10.0.0.1",)


def test_get_addresses_raises_for_an_unknown_name(clock):
    with pytest.raises(OSError, match="no such host"):
        HostResolver(NameServer(), clock).get_addresses("rag", 5003)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_ip_address_and_localhost_are_not_looked_up(host, clock):
    assert HostResolver(NameServer(), clock).get_addresses(host, 5003) == (host,)


def test_resolve_host_returns_addresses_of_one_family():
    assert resolve_host("localhost", 80) in (("127.0.0.1",), ("::1",))
