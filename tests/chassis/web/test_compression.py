"""Compression of responses."""

import gzip
import io

import pytest
from flask import Flask, Response, request

from backend.chassis.web.compression import MIN_BYTES, compress_responses

TEXT = "The runway of the old airfield is 1,840 metres long. " * 100
BODY = TEXT.encode()


@pytest.fixture
def app():
    app = Flask("service")
    app.after_request(lambda response: _set_default_cache_control(response))
    compress_responses(app)

    @app.get("/type/<path:mimetype>")
    def text(mimetype):
        return Response(TEXT, mimetype=mimetype)

    @app.get("/status/<int:status>")
    def failure(status):
        return Response(TEXT, status, mimetype="application/json")

    @app.get("/size/<int:size>")
    def sized(size):
        return Response("a" * size, mimetype="text/plain")

    @app.get("/with")
    def with_headers():
        return Response(TEXT, mimetype="text/plain", headers=dict(request.args))

    @app.get("/stream")
    def stream():
        return Response(iter([BODY]), mimetype="text/plain")

    @app.get("/file")
    def file():
        return Response(io.BytesIO(BODY), mimetype="text/plain", direct_passthrough=True)

    @app.get("/tagged")
    def tagged():
        response = Response(TEXT, mimetype="text/plain")
        response.set_etag("v1", weak="weak" in request.args)
        return response.make_conditional(request)

    return app


def _set_default_cache_control(response):
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@pytest.fixture
def get(app):
    client = app.test_client()

    def get(path, accept="gzip", method="GET", **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if accept is not None:
            names["Accept-Encoding"] = accept
        return client.open(path, method=method, headers=names)

    return get


@pytest.mark.parametrize(
    "accept",
    [
        "gzip",
        "GZIP",
        "x-gzip",
        "deflate, gzip;q=1.0, *;q=0.5",
        "gzip;q=0.001",
        "*",
        "br, *;q=0.1",
        "identity;q=0, gzip;q=0.5",
        "identity;q=0.5, gzip;q=0.5",
        "gzip, identity",
    ],
)
def test_text_is_compressed_for_clients_that_accept_gzip(get, accept):
    response = get("/type/application/json", accept)

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Content-Length"] == str(len(response.data))
    assert gzip.decompress(response.data) == BODY
    assert "Accept-Encoding" in response.vary


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "identity",
        "br",
        "deflate",
        "gzip;q=0",
        "gzip;q=0.000",
        "*;q=0",
        "*, gzip;q=0",
        "identity, gzip;q=0.5",
        "gzip;q=0.2, *",
        "identity;q=0",
        "gzipped",
        "gzip;q=x",
        ";;,,=",
    ],
)
def test_text_is_not_compressed_for_other_clients_and_varies(get, accept):
    response = get("/type/application/json", accept)

    assert "Content-Encoding" not in response.headers
    assert response.data == BODY
    assert "Accept-Encoding" in response.vary


@pytest.mark.parametrize(
    ("mimetype", "is_compressed"),
    [
        ("text/html", True),
        ("text/csv", True),
        ("application/problem+json", True),
        ("application/openapi+json", True),
        ("image/svg+xml", True),
        ("application/atom+xml", True),
        ("text/event-stream", False),
        ("image/png", False),
        ("application/pdf", False),
        ("application/zip", False),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", False),
        ("application/octet-stream", False),
    ],
)
def test_only_types_that_are_not_compressed_already_are_compressed(get, mimetype, is_compressed):
    assert ("Content-Encoding" in get(f"/type/{mimetype}").headers) is is_compressed


@pytest.mark.parametrize(
    "path", ["/stream", "/file", f"/size/{MIN_BYTES}", "/size/10", "/status/304"]
)
def test_streams_files_and_small_bodies_are_not_compressed(get, path):
    assert "Content-Encoding" not in get(path).headers


@pytest.mark.parametrize(
    "header",
    [
        "Cache-Control=no-store",
        "Cache-Control=private, no-transform",
        "Content-Encoding=br",
        "Content-Range=bytes 0-5299/9999",
    ],
)
def test_responses_of_views_with_these_headers_are_not_compressed(get, header):
    response = get(f"/with?{header}")

    assert response.headers.get("Content-Encoding") in (None, "br")
    assert response.data == BODY


def test_error_responses_are_compressed(get):
    assert gzip.decompress(get("/status/422").data) == BODY


def test_head_has_the_headers_of_get(get):
    body, head = get("/type/text/html"), get("/type/text/html", method="HEAD")

    assert head.data == b""
    for name in ("Content-Encoding", "Content-Length", "Vary", "Content-Type"):
        assert head.headers[name] == body.headers[name]


@pytest.mark.parametrize("query", ["", "?weak"])
def test_compressed_response_has_a_weak_etag_that_revalidates(get, query):
    plain, compressed = get(f"/tagged{query}", "identity"), get(f"/tagged{query}")

    assert plain.get_etag() == ("v1", bool(query))
    assert compressed.headers["ETag"] == 'W/"v1"'
    revalidated = get(f"/tagged{query}", If_None_Match=compressed.headers["ETag"])
    assert (revalidated.status_code, revalidated.data) == (304, b"")
    assert get(f"/tagged{query}", If_None_Match='W/"v2"').status_code == 200


def test_incompressible_text_is_sent_as_it_is(app, get):
    noise = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(600))

    @app.get("/noise")
    def send_noise():
        return Response(noise, mimetype="text/plain")

    response = get("/noise")

    assert len(response.data) <= len(noise.encode())
