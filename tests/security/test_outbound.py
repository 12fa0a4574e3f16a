"""Outbound policy: which URLs may be called and which are blocked before connecting."""

import socket
from ipaddress import ip_address

import pytest

from backend.security.outbound import (
    AllowedHost,
    Destination,
    OutboundBlocked,
    OutboundPolicy,
    is_public,
    resolve_host,
)

ANYWHERE = [AllowedHost.parse("*")]


def resolve_nothing(host, port):
    raise AssertionError(f"{host} was resolved")


def policy(*allowed, resolve=resolve_nothing):
    return OutboundPolicy([AllowedHost.parse(entry) for entry in allowed], resolve=resolve)


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("https://example.org", Destination("https", "example.org", 443, "/")),
        ("HTTP://Example.ORG./a?b=c#d", Destination("http", "example.org", 80, "/a?b=c")),
        ("https://example.org?q=1", Destination("https", "example.org", 443, "/?q=1")),
        ("https://example.org/ä%20b", Destination("https", "example.org", 443, "/%C3%A4%20b")),
        ("https://93.184.216.34/", Destination("https", "93.184.216.34", 443, "/")),
        ("https://[2A00::1]/", Destination("https", "2a00::1", 443, "/")),
        ("https://xn--bcher-kva.example/", Destination("https", "xn--bcher-kva.example", 443, "/")),
    ],
)
def test_check_url_parses_valid_urls(url, destination):
    assert OutboundPolicy(ANYWHERE).check_url(url) == destination


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https:///path",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://example.org@127.0.0.1/",
        "https://example.org\\@127.0.0.1/",
        "https://example.org/a b",
        "https://example.org/\r\nHost: other",
        "https://exa\tmple.org/",
        "https://example.org:0/",
        "https://example.org:65536/",
        "https://example.org:/",
        "https://example.org:8o/",
        "https://example.org:+443/",
        "https://example.org:443:80/",
        "https://[::1]:443x/",
        "https://[::1]@example.org/",
        "https://example.org:443@127.0.0.1/",
        "https://127.0.0.1%2f.example.org/",
        "https://example.org%00.example.net/",
        "https://exam\u200bple.org/",
        "https://ex\u00adample.org/",
        "https:example.org",
        "https:/\\example.org/",
        "\thttps://example.org/",
        "https://[v1.x]/",
        "https://[example.org]/",
        "https://*.example.org/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://127.0.0.0x1/",
        "jar:https://example.org!/",
        "data:text/html,x",
        "ws://example.org/",
        "https://ex%61mple.org/",
        "https://bücher.example/",
        "https://１２７.0.0.1/",  # noqa: RUF001 - full-width digits are the point
        "https://127。0。0。1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.01/",
        "https://0/",
        "https://1.2.3.4.5/",
        "https://[::1/",
        "https://[:::1]/",
        "https://[fe80::1%25eth0]/",
        "https://-example.org/",
        "https://example..org/",
        "https://.example.org/",
        f"https://{'a' * 64}.org/",
        f"https://{'a.' * 127}org/",
        f"https://example.org/{'a' * 2048}",
    ],
)
def test_check_url_blocks_ambiguous_urls(url):
    with pytest.raises(OutboundBlocked):
        OutboundPolicy(ANYWHERE).check_url(url)


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("example.org", "https://example.org/", True),
        ("example.org", "http://EXAMPLE.org/", True),
        ("EXAMPLE.org.", "http://example.org/", True),
        ("example.org", "https://www.example.org/", False),
        ("example.org", "https://example.org.evil.test/", False),
        ("example.org", "https://notexample.org/", False),
        ("example.org", "https://example.org:8443/", False),
        ("example.org:8443", "https://example.org:8443/", True),
        ("example.org:8443", "https://example.org/", False),
        ("*.example.org", "https://www.example.org/", True),
        ("*.example.org", "https://a.b.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org:8080", "http://a.example.org:8080/", True),
        ("*", "https://anything.test/", True),
        ("*", "https://anything.test:22/", False),
        ("*:8080", "http://anything.test:8080/", True),
        ("[2a00::1]", "https://[2a00:0::1]/", True),
        ("[2a00::1]:8443", "https://[2a00::1]:8443/", True),
        ("93.184.216.34", "http://93.184.216.34/", True),
    ],
)
def test_allow_list_matches_host_and_port(entry, url, allowed):
    if allowed:
        policy(entry).check_url(url)
    else:
        with pytest.raises(OutboundBlocked, match="not on the list"):
            policy(entry).check_url(url)


def test_empty_allow_list_blocks_every_url():
    with pytest.raises(OutboundBlocked, match="not on the list"):
        OutboundPolicy([]).check_url("https://example.org/")


@pytest.mark.parametrize("entry", ["", "a b", "https://example.org", "x:y", "x:٣", "*.*", "127.1"])
def test_invalid_allow_list_entry_is_quoted(entry):
    with pytest.raises(ValueError, match=r"not a host|no port"):
        AllowedHost.parse(entry)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00::1"],
)
def test_public_addresses_are_returned(address):
    checked = policy("*", resolve=lambda *_: [address, address])

    assert checked.resolve_public_addresses(checked.check_url("https://example.org/")) == [address]


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - not a bind address, but one to block
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2a00::5efe:7f00:1",
        "2a00::200:5efe:7f00:1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_non_public_address_blocks_the_host_even_among_public_ones(address):
    assert not is_public(ip_address(address))
    checked = policy("*", resolve=lambda *_: ["8.8.8.8", address])

    with pytest.raises(OutboundBlocked, match="public internet"):
        checked.resolve_public_addresses(checked.check_url("https://example.org/"))


def test_address_literal_is_not_resolved_and_must_be_public():
    checked = policy("*")

    assert checked.resolve_public_addresses(checked.check_url("https://8.8.8.8/")) == ["8.8.8.8"]
    for url in ("http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data"):
        with pytest.raises(OutboundBlocked, match="public internet"):
            checked.resolve_public_addresses(checked.check_url(url))


def test_host_without_addresses_is_blocked():
    checked = policy("*", resolve=lambda *_: [])

    with pytest.raises(OutboundBlocked):
        checked.resolve_public_addresses(checked.check_url("https://example.org/"))


def test_resolve_host_uses_the_system_resolver(monkeypatch):
    def fails(*_, **__):
        raise socket.gaierror("no such name")

    assert "127.0.0.1" in resolve_host("localhost", 80)
    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(OutboundBlocked, match="cannot be resolved"):
        resolve_host("example.org", 80)


@pytest.mark.parametrize(
    ("url", "rendered"),
    [
        ("http://example.org:80/a", "http://example.org/a"),
        ("https://example.org:8443/", "https://example.org:8443/"),
        ("https://[2a00::1]/x", "https://[2a00::1]/x"),
    ],
)
def test_destination_renders_its_url(url, rendered):
    assert policy("*", "*:8443").check_url(url).url == rendered
