"""HEAD and OPTIONS of every route."""

import re

import pytest

from backend.chassis.catalog import CATALOG


def list_paths(app):
    """Yield (path, methods) for each path of *app*; parameters are filled with a word."""
    methods_by_path = {}
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("forwarding."):
            path = re.sub("<[^>]+>", "x", str(rule))
            methods_by_path.setdefault(path, set()).update(rule.methods)
    return methods_by_path.items()


@pytest.mark.parametrize("name", [entry.name for entry in CATALOG])
def test_options_lists_the_methods_of_every_path_without_credentials(build, name):
    app = build(name)
    client = app.test_client()

    for path, methods in list_paths(app):
        response = client.options(path)

        assert response.status_code == 200, path
        assert set(response.headers["Allow"].split(", ")) >= methods, path
        assert "OPTIONS" in methods
        assert ("HEAD" in methods) == ("GET" in methods), path


@pytest.mark.parametrize("name", [entry.name for entry in CATALOG])
def test_method_without_a_route_returns_405_with_the_methods_of_the_path(build, name):
    app = build(name)
    client = app.test_client()

    for path, methods in list_paths(app):
        # A path may also match a route with a parameter, such as /api-keys/<key_id>.
        allowed = app.url_map.bind("").allowed_methods(path)
        for method in {"GET", "HEAD", "PUT", "DELETE", "PATCH"} - set(allowed):
            response = client.open(path, method=method)

            assert response.status_code == 405, (method, path)
            assert set(response.headers["Allow"].split(", ")) >= methods - {method}
