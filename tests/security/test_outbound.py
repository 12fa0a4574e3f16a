"""Which URLs are called, and which are refused before a packet leaves."""

import socket
from ipaddress import ip_address

import pytest

from backend.security.outbound import (
    AllowedHost,
    Destination,
    Outbound,
    OutboundRefused,
    is_public,
    resolved,
)

ANYWHERE = [AllowedHost.parsed("*")]


def never(host, port):
    raise AssertionError(f"{host} was resolved")


def outbound(*allowed, resolve=never):
    return Outbound([AllowedHost.parsed(each) for each in allowed], resolve=resolve)


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
def test_a_plain_url_is_read(url, destination):
    assert Outbound(ANYWHERE).destination(url) == destination


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
def test_a_url_that_can_be_read_in_two_ways_is_refused(url):
    with pytest.raises(OutboundRefused):
        Outbound(ANYWHERE).destination(url)


@pytest.mark.parametrize(
    ("entry", "url", "covered"),
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
def test_the_list_decides_by_host_and_port(entry, url, covered):
    if covered:
        outbound(entry).destination(url)
    else:
        with pytest.raises(OutboundRefused, match="not on the list"):
            outbound(entry).destination(url)


def test_an_empty_list_covers_nothing():
    with pytest.raises(OutboundRefused, match="not on the list"):
        Outbound([]).destination("https://example.org/")


@pytest.mark.parametrize("entry", ["", "a b", "https://example.org", "x:y", "x:٣", "*.*", "127.1"])
def test_an_entry_that_is_no_host_is_named(entry):
    with pytest.raises(ValueError, match=r"no (host|port)"):
        AllowedHost.parsed(entry)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00::1"],
)
def test_a_public_address_is_called(address):
    found = outbound("*", resolve=lambda *_: [address, address])

    assert found.addresses(found.destination("https://example.org/")) == [address]


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - not to listen on, but to be refused
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
def test_an_address_that_is_not_public_is_refused_also_beside_one_that_is(address):
    assert not is_public(ip_address(address))
    found = outbound("*", resolve=lambda *_: ["8.8.8.8", address])

    with pytest.raises(OutboundRefused, match="public internet"):
        found.addresses(found.destination("https://example.org/"))


def test_an_address_in_the_url_is_not_resolved_and_must_be_public_too():
    found = outbound("*")

    assert found.addresses(found.destination("https://8.8.8.8/")) == ["8.8.8.8"]
    for url in ("http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data"):
        with pytest.raises(OutboundRefused, match="public internet"):
            found.addresses(found.destination(url))


def test_a_host_without_an_address_is_refused():
    found = outbound("*", resolve=lambda *_: [])

    with pytest.raises(OutboundRefused):
        found.addresses(found.destination("https://example.org/"))


def test_names_are_asked_of_the_machines_resolver(monkeypatch):
    def fails(*_, **__):
        raise socket.gaierror("no such name")

    assert "127.0.0.1" in resolved("localhost", 80)
    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(OutboundRefused, match="not known"):
        resolved("example.org", 80)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.org:80/a", "http://example.org/a"),
        ("https://example.org:8443/", "https://example.org:8443/"),
        ("https://[2a00::1]/x", "https://[2a00::1]/x"),
    ],
)
def test_a_destination_is_written_as_a_url_again(url, told):
    assert outbound("*", "*:8443").destination(url).url == told
