"""Path patterns."""

import pytest

from backend.services.gateway.domain.routing.paths import compile_paths


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
