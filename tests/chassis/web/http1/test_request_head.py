"""Request heads: parsing, rejection of malformed input, and independence of splits."""

import pytest

from backend.chassis.web.http1.errors import InvalidRequest
from backend.chassis.web.http1.request_head import (
    HeaderBlock,
    HeaderParser,
    Request,
    check_partial_head,
    parse_request_head,
    parse_request_line,
)

DROPPED = {"host", "connection", "transfer-encoding", "content-length", "expect", "x-dropped"}
PARSER = HeaderParser(
    HeaderBlock,
    lambda name: name not in DROPPED,
    parsed_names=frozenset({"authorization", "origin", "user-agent", "content-type"}),
    single_names=frozenset({"authorization", "content-type"}),
)


def head(*lines, first="GET /rag/x HTTP/1.1", host="Host: gateway.example"):
    return "\r\n".join([first, *([host] if host else []), *lines]).encode("latin-1")


def parse(data: bytes) -> Request[HeaderBlock]:
    return parse_request_head(data, PARSER)


def get_error_status(data: bytes) -> int:
    with pytest.raises(InvalidRequest) as error:
        parse(data)
    return error.value.status


def test_request_head_is_parsed():
    request = parse(head("Accept: */*", "X-Long:   value with  spaces\t"))

    assert (request.method, request.target, request.minor_version) == ("GET", "/rag/x", 1)
    assert request.forwarded_lines == ["Accept: */*\r\n", "X-Long: value with  spaces\r\n"]
    assert request.headers == {"host": "gateway.example"}
    assert not request.has_body
    assert request.keep_alive


def test_parsed_headers_can_also_be_forwarded():
    request = parse(head("Authorization: Bearer t", "Origin: https://a", "User-Agent: x"))

    assert len(request.forwarded_lines) == 3
    assert request.headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET / HTTP/1.1 ", 400),
        ("GET  / HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET /", 400),
        ("GET HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/01.1", 400),
        ("GET / XTTP/1.1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.2", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.1 HTTP/1.1", 400),
        ("GET / HTTP/1.1\x00", 400),
        ("GET / \xa0HTTP/1.1", 400),
        ("\xefGET / HTTP/1.1", 400),
        ("G@T / HTTP/1.1", 400),
        ("get / HTTP/1.1", 501),
        ("BREW / HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 405),
        ("CONNECT a:443 HTTP/1.1", 405),
        ("GET ftp://gateway.example/ HTTP/1.1", 400),
        ("GET http:/x HTTP/1.1", 400),
        ("GET http:///x HTTP/1.1", 400),
        ("GET http://user@gateway.example/x HTTP/1.1", 400),
        ("GET http://a.example:99999/x HTTP/1.1", 400),
        ("GET http://a.example,b.example/x HTTP/1.1", 400),
        ("GET http://a\\b/x HTTP/1.1", 400),
        ("GET gateway.example:80 HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET x HTTP/1.1", 400),
        ("", 400),
        ("GET /" + "a" * 9000 + " HTTP/1.1", 414),
    ],
)
def test_invalid_request_line_is_rejected(first, status):
    assert get_error_status(head(first=first)) == status


@pytest.mark.parametrize(
    ("first", "target", "host"),
    [
        ("GET http://other.example/rag/x?q=1 HTTP/1.1", "/rag/x?q=1", "other.example"),
        ("GET HTTPS://other.example:8443/a HTTP/1.1", "/a", "other.example:8443"),
        ("GET http://[::1]:5000/a//b HTTP/1.1", "/a//b", "[::1]:5000"),
        ("GET http://other.example HTTP/1.1", "/", "other.example"),
        ("POST http://other.example?q=/ HTTP/1.1", "/?q=/", "other.example"),
        ("OPTIONS http://other.example HTTP/1.1", "*", "other.example"),
        ("OPTIONS http://other.example/ HTTP/1.1", "/", "other.example"),
    ],
)
def test_absolute_form_is_parsed_and_its_host_replaces_the_header(first, target, host):
    request = parse(head(first=first))

    assert (request.target, request.headers["host"]) == (target, host)


def test_host_of_absolute_form_does_not_change_other_requests_with_the_same_headers():
    block = PARSER.parse_block(b"Host: gateway.example")

    absolute = Request(parse_request_line(b"GET http://other.example/ HTTP/1.1"), block)
    origin = Request(parse_request_line(b"GET / HTTP/1.1"), block)

    assert (absolute.headers["host"], origin.headers["host"]) == (
        "other.example",
        "gateway.example",
    )


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param({"host": None}, id="no Host"),
        pytest.param({"host": "Host: a b"}, id="malformed Host"),
        pytest.param({"host": "Host: a\r\nHost: a"}, id="two Hosts"),
    ],
)
def test_absolute_form_requires_one_valid_host(lines):
    assert get_error_status(head(first="GET http://other.example/ HTTP/1.1", **lines)) == 400


def test_absolute_form_of_http10_needs_no_host():
    request = parse(head(first="GET http://other.example/ HTTP/1.0", host=None))

    assert request.headers["host"] == "other.example"


@pytest.mark.parametrize(
    "line",
    [
        "NoColon",
        ": no name",
        "Name : space before",
        " Name: leading space",
        "Na me: x",
        "Na\tme: x",
        "Näme: x",
        "Name\x00: x",
        "Name: a\x00b",
        "Name: a\x0bb",
        "Name: a\x7fb",
        "Name: a\nb",
        "Name: a\rb",
        "(Name): x",
        "",
        " continued",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5, 5",
        "Content-Length: 5 5",
        "Content-Length: 05",
        "Content-Length: 5.0",
        "Content-Length:",
        "Content-Length: \u0665",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked;q=1",
        'Transfer-Encoding: "chunked"',
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
        "Transfer-Encoding: \x0bchunked",
        "Host: second.example",
    ],
)
def test_malformed_header_line_is_rejected(line):
    data = b"\r\n".join([head(first="POST / HTTP/1.1"), line.encode("utf-8")])

    assert get_error_status(data) == 400


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Authorization: Bearer a", "Authorization: Bearer b"],
        ["Content-Type: a/b", "Content-Type: c/d"],
    ],
)
def test_repeated_single_header_is_rejected(lines):
    assert get_error_status(head(*lines, first="POST / HTTP/1.1")) == 400


@pytest.mark.parametrize("coding", ["gzip", "identity", "gzip, chunked", "xchunked", "chunked-x"])
def test_unsupported_transfer_coding_returns_501(coding):
    assert get_error_status(head(f"Transfer-Encoding: {coding}", first="POST / HTTP/1.1")) == 501


@pytest.mark.parametrize(
    "host",
    [
        "",
        "Host:",
        "Host: user@gateway",
        "Host: gateway/path",
        "Host: gateway?x",
        "Host: gateway:port",
        "Host: gateway:123456",
        "Host: gateway:70000",
        "Host: a b",
        "Host: a,b",
        "Host: [::1",
        "Host: http://gateway",
    ],
)
def test_missing_or_malformed_host_is_rejected(host):
    assert get_error_status(head(host=host)) == 400


@pytest.mark.parametrize("host", ["a", "a.example:80", "127.0.0.1:5000", "[::1]:5000", "a_b"])
def test_valid_host_is_accepted(host):
    assert parse(head(host=f"Host: {host}")).headers["host"] == host


def test_http_1_0_needs_no_host_and_closes_after_one_response():
    request = parse(head(first="GET / HTTP/1.0", host=""))

    assert request.minor_version == 0
    assert not request.keep_alive


def test_http_1_0_request_with_chunks_is_rejected():
    assert get_error_status(head("Transfer-Encoding: chunked", first="POST / HTTP/1.0")) == 400


def test_headers_named_by_connection_are_not_forwarded():
    request = parse(head("Connection: close, X-Hop, Authorization", "X-Hop: 1", "X-Custom: 1"))
    named_later = parse(head("Authorization: Bearer a", "Connection: authorization"))

    assert request.forwarded_lines == ["X-Custom: 1\r\n"]
    assert not request.keep_alive
    assert named_later.forwarded_lines == []
    assert "authorization" not in named_later.headers


def test_headers_outside_the_policy_are_not_forwarded():
    request = parse(head("X-Dropped: 1", "Via: x"))

    assert request.forwarded_lines == ["Via: x\r\n"]


@pytest.mark.parametrize(
    ("expect", "status"), [("100-continue", None), ("100-Continue", None), ("200-ok", 417)]
)
def test_unknown_expectation_returns_417(expect, status):
    data = head("Content-Length: 5", f"Expect: {expect}", first="POST / HTTP/1.1")
    if status is None:
        assert parse(data).expects_continue
    else:
        assert get_error_status(data) == status


def test_expectation_in_http_1_0_is_ignored():
    data = head("Content-Length: 5", "Expect: 100-continue", first="POST / HTTP/1.0")

    assert not parse(data).expects_continue


def test_too_many_or_too_large_headers_return_431():
    assert get_error_status(head(*[f"X-{i}: 1" for i in range(101)])) == 431
    assert get_error_status(head("X-Large: " + "a" * 40_000)) == 431


@pytest.mark.parametrize(
    ("partial_head", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"GET / HTTP/1.1\rHost: a", 400),
        (b"GET / HTTP/1.1\r\nA: \x00", 400),
        (b"GET /\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 6000, 431),
    ],
)
def test_invalid_head_is_rejected_before_its_end(partial_head, status):
    with pytest.raises(InvalidRequest) as error:
        check_partial_head(partial_head, 0)
    assert error.value.status == status


def test_valid_head_is_accepted_at_every_split():
    complete = head("Accept: */*", "Content-Length: 3", first="POST /x HTTP/1.1") + b"\r\n\r\n"
    for end in range(len(complete) - 1):
        check_partial_head(complete[:end], max(0, end - 1))
