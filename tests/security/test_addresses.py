"""Whose request it is, seen through proxies of ours and of nobody's."""

import pytest

from backend.security.addresses import (
    client_address,
    counted_as,
    is_trusted,
    trusted_networks,
)

OURS = trusted_networks(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param("203.0.113.9", "1.1.1.1", "203.0.113.9", id="a stranger is not believed"),
        pytest.param("127.0.0.1", "", "127.0.0.1", id="nothing forwarded"),
        pytest.param("127.0.0.1", "203.0.113.9", "203.0.113.9", id="one proxy"),
        pytest.param("127.0.0.1", "6.6.6.6, 203.0.113.9, 10.1.1.1", "203.0.113.9", id="two"),
        pytest.param("127.0.0.1", "10.0.0.2", "10.0.0.2", id="all of them ours"),
        pytest.param("127.0.0.1", "1.1.1.1, nonsense", "127.0.0.1", id="nonsense ends the walk"),
        pytest.param("127.0.0.1", "203.0.113.9:4711", "203.0.113.9", id="with a port"),
        pytest.param("127.0.0.1", "[2001:db8::1]:443", "2001:db8::1", id="v6 with a port"),
        pytest.param("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9", id="v4 in v6"),
        pytest.param("not-an-ip", "203.0.113.9", "not-an-ip", id="a peer without address"),
    ],
)
def test_the_nearest_address_that_is_not_ours_counts(peer, forwarded, address):
    assert client_address(peer, forwarded, OURS) == address


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", ""),
    ],
)
def test_a_v6_caller_owns_its_whole_network(address, counted):
    assert counted_as(address) == counted


def test_without_trusted_proxies_nobody_is_trusted():
    assert not is_trusted("127.0.0.1", ())
    assert client_address("127.0.0.1", "1.1.1.1", ()) == "127.0.0.1"


def test_what_is_no_network_is_named():
    with pytest.raises(ValueError, match="'everyone'"):
        trusted_networks(["everyone"])
