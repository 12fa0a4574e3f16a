"""Normalization of request targets."""

import pytest

from backend.chassis.web.http1.request_target import InvalidTarget, normalize_target


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/rag/documents?x=1&y=%2e", "/rag/documents", "?x=1&y=%2e"),
        ("/%61uth/l%6Fgin", "/auth/login", ""),
        ("/a%20b/%c3%a9", "/a%20b/%C3%A9", ""),
        ("/.well-known/jwks.json", "/.well-known/jwks.json", ""),
        ("/a?", "/a", "?"),
        ("/a?b=../..//;", "/a", "?b=../..//;"),
        ("/a%252e%252e/b", "/a%252e%252e/b", ""),
    ],
)
def test_target_is_normalized(target, path, query):
    assert normalize_target(target) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "x",
        "http://host/",
        "/..",
        "/a/../b",
        "/a/./b",
        "/a/.",
        "/%2e%2e/b",
        "/a//b",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a;b",
        "/a%3bb",
        "/a%00",
        "/a%0d%0a",
        "/a%7f",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a b",
        "/a\x00",
        "/a#b",
        '/a"b',
        "/é",
        "/a?b c",
        "/a?b#c",
        "/a?\x01",
        "/a?é",
        "/a?\\",
    ],
)
def test_ambiguous_target_is_rejected(target):
    with pytest.raises(InvalidTarget):
        normalize_target(target)
