"""Request heads: what is read, what is refused, and that splitting them changes nothing."""

import pytest

from backend.services.gateway.edge.requests import BadRequest, check_begun, read_head


def head(*lines, first="GET /rag/x HTTP/1.1", host="Host: gateway.example"):
    return "\r\n".join([first, *([host] if host else []), *lines]).encode("latin-1")


def refusal(data):
    with pytest.raises(BadRequest) as caught:
        read_head(data)
    return caught.value.status


def test_a_plain_request_is_read():
    request = read_head(head("Accept: */*", "X-Long:   value with  spaces\t"))

    assert (request.method, request.target, request.minor) == ("GET", "/rag/x", 1)
    assert request.kept == ["Accept: */*\r\n", "X-Long: value with  spaces\r\n"]
    assert request.said == {"host": "gateway.example"}
    assert not request.has_body
    assert request.keep_alive


def test_what_travels_and_is_read_does_both():
    request = read_head(head("Authorization: Bearer t", "Origin: https://a", "User-Agent: x"))

    assert len(request.kept) == 3
    assert request.said["authorization"] == "Bearer t"


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
        ("G@T / HTTP/1.1", 400),
        ("get / HTTP/1.1", 501),
        ("BREW / HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 405),
        ("CONNECT a:443 HTTP/1.1", 405),
        ("GET http://gateway.example/ HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET x HTTP/1.1", 400),
        ("", 400),
        ("GET /" + "a" * 9000 + " HTTP/1.1", 414),
    ],
)
def test_a_request_line_has_one_form(first, status):
    assert refusal(head(first=first)) == status


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
def test_a_line_that_needs_guessing_is_refused(line):
    data = b"\r\n".join([head(first="POST / HTTP/1.1"), line.encode("utf-8")])

    assert refusal(data) == 400


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
        ["X-Tenant-ID: a", "X-Tenant-ID: b"],
        ["Content-Type: a/b", "Content-Type: c/d"],
    ],
)
def test_two_of_what_there_can_be_one_of_are_refused(lines):
    assert refusal(head(*lines, first="POST / HTTP/1.1")) == 400


@pytest.mark.parametrize("coding", ["gzip", "identity", "gzip, chunked", "xchunked", "chunked-x"])
def test_a_coding_that_is_not_known_is_not_implemented(coding):
    assert refusal(head(f"Transfer-Encoding: {coding}", first="POST / HTTP/1.1")) == 501


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
def test_there_is_exactly_one_good_host(host):
    assert refusal(head(host=host)) == 400


@pytest.mark.parametrize("host", ["a", "a.example:80", "127.0.0.1:5000", "[::1]:5000", "a_b"])
def test_a_good_host_passes(host):
    assert read_head(head(host=f"Host: {host}")).said["host"] == host


def test_http_1_0_needs_no_host_and_ends_after_one_answer():
    request = read_head(head(first="GET / HTTP/1.0", host=""))

    assert request.minor == 0
    assert not request.keep_alive


def test_http_1_0_has_no_chunks():
    assert refusal(head("Transfer-Encoding: chunked", first="POST / HTTP/1.0")) == 400


def test_what_connection_names_stays_here():
    request = read_head(head("Connection: close, X-Hop, Authorization", "X-Hop: 1", "X-Kept: 1"))
    taken_back = read_head(head("Authorization: Bearer a", "Connection: authorization"))

    assert request.kept == ["X-Kept: 1\r\n"]
    assert not request.keep_alive
    assert taken_back.kept == []
    assert "authorization" not in taken_back.said


def test_names_with_underscores_and_claims_of_the_inside_do_not_travel():
    request = read_head(
        head("Content_Length: 99", "X_User_ID: 1", "X-User-ID: 1", "X-Internal-A: 1", "Via: x")
    )

    assert request.kept == ["Via: x\r\n"]


@pytest.mark.parametrize(
    ("expect", "status"), [("100-continue", None), ("100-Continue", None), ("200-ok", 417)]
)
def test_only_one_expectation_is_understood(expect, status):
    data = head("Content-Length: 5", f"Expect: {expect}", first="POST / HTTP/1.1")
    if status is None:
        assert read_head(data).expects_continue
    else:
        assert refusal(data) == status


def test_an_expectation_in_http_1_0_is_not_answered():
    data = head("Content-Length: 5", "Expect: 100-continue", first="POST / HTTP/1.0")

    assert not read_head(data).expects_continue


def test_too_many_and_too_large_heads_are_refused():
    assert refusal(head(*[f"X-{i}: 1" for i in range(101)])) == 431
    assert refusal(head("X-Large: " + "a" * 40_000)) == 431


@pytest.mark.parametrize(
    ("begun", "status"),
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
def test_what_can_become_no_request_is_refused_before_its_end(begun, status):
    with pytest.raises(BadRequest) as caught:
        check_begun(begun, 0)
    assert caught.value.status == status


def test_a_good_head_is_not_refused_at_any_of_its_bytes():
    whole = head("Accept: */*", "Content-Length: 3", first="POST /x HTTP/1.1") + b"\r\n\r\n"
    for end in range(len(whole) - 1):
        check_begun(whole[:end], max(0, end - 1))
