"""Client addresses behind trusted and untrusted proxies."""

import pytest

from backend.security.addresses import (
    client_address,
    is_trusted,
    parse_trusted_networks,
    rate_limit_address,
)

TRUSTED = parse_trusted_networks(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param("203.0.113.9", "1.1.1.1", "203.0.113.9", id="untrusted peer"),
        pytest.param("127.0.0.1", "", "127.0.0.1", id="nothing forwarded"),
        pytest.param("127.0.0.1", "203.0.113.9", "203.0.113.9", id="one proxy"),
        pytest.param(
            "127.0.0.1", "6.6.6.6, 203.0.113.9, 10.1.1.1", "203.0.113.9", id="two proxies"
        ),
        pytest.param("127.0.0.1", "10.0.0.2", "10.0.0.2", id="only trusted hops"),
        pytest.param("127.0.0.1", "1.1.1.1, nonsense", "127.0.0.1", id="invalid hop ends the walk"),
        pytest.param("127.0.0.1", "203.0.113.9:4711", "203.0.113.9", id="with a port"),
        pytest.param("127.0.0.1", "[2001:db8::1]:443", "2001:db8::1", id="v6 with a port"),
        pytest.param("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9", id="v4 in v6"),
        pytest.param("not-an-ip", "203.0.113.9", "not-an-ip", id="peer is not an address"),
    ],
)
def test_client_address_is_the_nearest_untrusted_hop(peer, forwarded, address):
    assert client_address(peer, forwarded, TRUSTED) == address


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
def test_rate_limit_address_of_ipv6_is_its_64_network(address, counted):
    assert rate_limit_address(address) == counted


def test_no_peer_is_trusted_without_trusted_proxies():
    assert not is_trusted("127.0.0.1", ())
    assert client_address("127.0.0.1", "1.1.1.1", ()) == "127.0.0.1"


def test_invalid_trusted_proxy_is_quoted():
    with pytest.raises(ValueError, match="'everyone'"):
        parse_trusted_networks(["everyone"])
