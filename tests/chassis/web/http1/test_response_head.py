"""Response heads: body length, forwarded lines and malformed input."""

import pytest

from backend.chassis.web.http1.body_framing import ChunkedDecoder, LengthDecoder, UntilCloseDecoder
from backend.chassis.web.http1.header_fields import ProtocolError
from backend.chassis.web.http1.response_head import DATE_BIT, ResponseHeadParser

PARSER = ResponseHeadParser(lambda name: name != "x-ours", {"x-frame-options": 1})


def parse(*lines, first="HTTP/1.1 200 OK", method="GET"):
    return PARSER.parse_head("\r\n".join([first, *lines]).encode("latin-1"), method)


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["Content-Length: 5"], LengthDecoder),
        (["Transfer-Encoding: chunked"], ChunkedDecoder),
        (["Transfer-Encoding: Chunked"], ChunkedDecoder),
        ([], UntilCloseDecoder),
    ],
)
def test_response_head_selects_the_body_decoder(lines, kind):
    response = parse(*lines)

    assert isinstance(response.create_body_decoder(), kind)
    assert response.keep_alive is (kind is not UntilCloseDecoder)


@pytest.mark.parametrize(
    ("first", "method"),
    [("HTTP/1.1 204 No Content", "GET"), ("HTTP/1.1 304 x", "GET"), ("HTTP/1.1 200 OK", "HEAD")],
)
def test_response_without_body_ignores_framing_headers(first, method):
    for line in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        assert parse(line, first=first, method=method).create_body_decoder().done


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Content-Length: x"],
        ["Content-Length: -1"],
        ["Bad Name: x"],
        ["X: a", " folded"],
        ["X: a\x00b"],
    ],
)
def test_ambiguous_framing_is_rejected(lines):
    with pytest.raises(ProtocolError):
        parse(*lines)


@pytest.mark.parametrize(
    "first",
    [
        "HTTP/2 200 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 99 x",
        "HTTP/1.1  200",
        "220 smtp",
        "",
        "HTTP/1.1 700 x",
    ],
)
def test_malformed_status_line_is_rejected(first):
    with pytest.raises(ProtocolError):
        parse(first=first)


def test_chunked_http_1_0_response_is_rejected():
    with pytest.raises(ProtocolError):
        parse("Transfer-Encoding: chunked", first="HTTP/1.0 200 OK")


def test_keep_alive_follows_version_and_connection():
    assert not parse("Content-Length: 0", "Connection: Close").keep_alive
    assert not parse("Content-Length: 0", first="HTTP/1.0 200 OK").keep_alive
    assert parse("Content-Length: 0", "Connection: keep-alive").keep_alive


def test_forwarded_lines_are_normalized():
    response = parse(
        "Set-Cookie: a", "X-Ours: 1", "Set-Cookie:  b ", "Content-Length: 0", first="HTTP/1.1 201"
    )

    assert response.status == 201
    assert response.header_lines == "Set-Cookie: a\r\nSet-Cookie: b\r\n"
    assert response.content_length == 0
    assert response.parse_fields() == [("set-cookie", "a"), ("set-cookie", "b")]
    assert response.header_lines_without(frozenset({"set-cookie"})) == ""


def test_field_bits_report_present_headers():
    assert (
        parse("X-Frame-Options: DENY", "Date: now", "Content-Length: 0").field_bits == 1 | DATE_BIT
    )
    assert parse("Content-Length: 0").field_bits == 0


def test_repeated_head_is_parsed_for_each_method():
    lines = ("Content-Length: 5", "X-Frame-Options: DENY")

    assert [parse(*lines, method=method).body_length for method in ("GET", "HEAD", "GET")] == [
        5,
        0,
        5,
    ]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_request_id_of_a_service_is_dropped_wherever_it_is(position):
    for request_id in ("first", "second"):
        lines = ["Content-Length: 5", "Server: x"]
        lines.insert(position, f"X-Request-ID: {request_id}")
        response = parse(*lines)

        assert response.header_lines == "Server: x\r\n"
        assert response.body_length == 5


def test_every_repeated_malformed_head_is_rejected():
    for _ in range(2):
        with pytest.raises(ProtocolError):
            parse("Content-Length: 5", "X-Request-ID: id", "Transfer-Encoding: chunked")


def test_heads_with_different_lengths_are_not_confused():
    lengths = [*range(600), *range(600)]

    assert [parse(f"Content-Length: {length}").body_length for length in lengths] == lengths
