"""Normalization of request targets, and path patterns."""

import pytest

from backend.services.gateway.domain.routing.paths import (
    InvalidTarget,
    compile_paths,
    normalize_target,
)


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


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/login", "/login", True),
        ("/login", "/login/x", False),
        ("/docs/*", "/docs", True),
        ("/docs/*", "/docs/start.js", True),
        ("/docs/*", "/docsx", False),
    ],
)
def test_pattern_matches_one_path_or_all_paths_below(pattern, path, matches):
    assert (path in compile_paths((pattern,))) is matches
