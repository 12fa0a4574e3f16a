"""Answer heads: what a service may say, and what is a 502."""

import pytest

from backend.services.gateway.clients.answers import DATE, AnswerReader
from backend.services.gateway.clients.fields import BadFraming
from backend.services.gateway.clients.framing import Chunked, Length, UntilClose

READER = AnswerReader(lambda name: name != "x-ours", {"x-frame-options": 1})


def read(*lines, first="HTTP/1.1 200 OK", method="GET"):
    return READER.read("\r\n".join([first, *lines]).encode("latin-1"), method)


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["Content-Length: 5"], Length),
        (["Transfer-Encoding: chunked"], Chunked),
        (["Transfer-Encoding: Chunked"], Chunked),
        ([], UntilClose),
    ],
)
def test_an_answer_says_where_it_ends(lines, kind):
    answer = read(*lines)

    assert isinstance(answer.body(), kind)
    assert answer.keep_alive is (kind is not UntilClose)


@pytest.mark.parametrize(
    ("first", "method"),
    [("HTTP/1.1 204 No Content", "GET"), ("HTTP/1.1 304 x", "GET"), ("HTTP/1.1 200 OK", "HEAD")],
)
def test_some_answers_have_no_body_whatever_they_say(first, method):
    for line in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        assert read(line, first=first, method=method).body().done


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
def test_ambiguous_framing_is_no_answer(lines):
    with pytest.raises(BadFraming):
        read(*lines)


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
def test_what_is_no_status_line_is_no_answer(first):
    with pytest.raises(BadFraming):
        read(first=first)


def test_chunks_from_http_1_0_are_not_believed():
    with pytest.raises(BadFraming):
        read("Transfer-Encoding: chunked", first="HTTP/1.0 200 OK")


def test_a_connection_that_will_close_is_not_kept():
    assert not read("Content-Length: 0", "Connection: Close").keep_alive
    assert not read("Content-Length: 0", first="HTTP/1.0 200 OK").keep_alive
    assert read("Content-Length: 0", "Connection: keep-alive").keep_alive


def test_lines_that_travel_are_kept_as_they_are_written_on():
    answer = read(
        "Set-Cookie: a", "X-Ours: 1", "Set-Cookie:  b ", "Content-Length: 0", first="HTTP/1.1 201"
    )

    assert answer.status == 201
    assert answer.text == "Set-Cookie: a\r\nSet-Cookie: b\r\n"
    assert answer.said == 0
    assert answer.fields() == [("set-cookie", "a"), ("set-cookie", "b")]
    assert answer.without(frozenset({"set-cookie"})) == ""


def test_what_the_reader_looks_out_for_is_told():
    assert read("X-Frame-Options: DENY", "Date: now", "Content-Length: 0").bits == 1 | DATE
    assert read("Content-Length: 0").bits == 0
