"""Invalid requests get the documented error, never a 500, and leave nothing behind."""

import json
import socket
from http.client import HTTPConnection

import pytest
import requests

pytestmark = pytest.mark.suite

ROUTES = [
    ("GET", "/auth/me"),
    ("GET", "/rag/documents"),
    ("POST", "/rag/search"),
    ("POST", "/rag/query"),
    ("POST", "/agent/query"),
    ("GET", "/agent/sessions"),
]
JSON_ROUTES = [
    ("/auth/register", {"username": "x", "password": "y", "role": "admin"}),
    ("/auth/login", {"username": "x"}),
    ("/rag/search", {"query": ""}),
    ("/rag/query", {"query": 5}),
    ("/agent/query", {"user_request": ""}),
]
DEEP = b"[" * 100_000 + b"]" * 100_000


def assert_problem(response, status):
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(response.json())
    assert response.headers["X-Request-ID"] == response.json()["request_id"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no token"),
        pytest.param({"Authorization": "Bearer forged.token.here"}, id="forged"),
        pytest.param({"Authorization": "Basic eDp5"}, id="another scheme"),
        pytest.param({"X-API-Key": "aas_unknown"}, id="unknown key"),
    ],
)
def test_every_route_rejects_invalid_credentials(suite, method, path, headers):
    response = requests.request(method, suite.url + path, headers=headers, json={}, timeout=10)

    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("path", "invalid"), JSON_ROUTES)
def test_invalid_body_gets_the_matching_error(ada, path, invalid):
    as_json = {"Content-Type": "application/json"}

    assert_problem(ada("POST", path, data=b"no json", headers=as_json), 400)
    assert_problem(ada("POST", path, data=DEEP, headers=as_json), 400)
    assert_problem(ada("POST", path, data=b"{}", headers={"Content-Type": "text/plain"}), 415)
    response = ada("POST", path, json=invalid)
    assert_problem(response, 422)
    assert all(error["pointer"].startswith("#") for error in response.json()["errors"])


@pytest.mark.parametrize(
    ("name", "content", "statuses"),
    [
        pytest.param("fake.pdf", b"%PDF-1.7\nnothing of the kind", {422, 415}, id="not a PDF"),
        pytest.param("empty.txt", b"", {422}, id="empty"),
        pytest.param("program.exe", b"MZ\x90\x00\x03" + bytes(60), {415}, id="program"),
    ],
)
def test_unreadable_file_is_rejected_and_leaves_nothing(ada, name, content, statuses):
    response = ada("POST", "/rag/documents?wait=30", files={"file": (name, content)})

    if response.status_code < 300:  # accepted, and found unreadable during extraction
        assert response.json()["documents"][0]["status"] == "failed"
        return
    assert response.status_code in statuses, response.text
    assert ada("GET", "/rag/documents").json()["items"] == []


def test_path_in_a_file_name_is_removed(ada):
    name = "../../../etc/cron.d/passage.txt"
    response = ada(
        "POST", "/rag/documents?wait=30", files={"file": (name, b"A short passage of text.")}
    )

    document = response.json()["documents"][0]
    assert "/" not in document["filename"]
    assert ".." not in document["filename"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/unknown", 404),
        ("/rag/unknown", 404),
        ("/rag/../auth/me", 400),
        ("/rag/%2e%2e/auth/me", 400),
        ("/auth//me", 400),
    ],
)
def test_unknown_or_ambiguous_path_is_rejected(suite, ada, path, status):
    # Sent unchanged: a client library would normalise it.
    prepared = requests.Request("GET", suite.url).prepare()
    prepared.url = suite.url + path
    prepared.headers = ada.session.headers
    with requests.Session() as plain:
        assert_problem(plain.send(prepared, timeout=10), status)


@pytest.mark.parametrize("service", ["auth", "agent", "rag"])
@pytest.mark.parametrize(
    "trailer",
    ["bad trailer", "Content-Length: 5", "Authorization: Bearer x", "X-A: " + "a" * 100_000],
    ids=["malformed", "content length", "credentials", "too long"],
)
def test_service_rejects_invalid_trailers_of_a_chunked_body(suite, ada, service, trailer):
    path = {"auth": "/login", "agent": "/query", "rag": "/search"}[service]
    body = '{"username": "unknown-user", "password": "x"}' if service == "auth" else "{}"
    request = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: {ada.session.headers['Authorization']}\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n{trailer}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", suite.ports[service]), timeout=10) as connection:
        connection.sendall(request.encode())
        status_line = connection.makefile("rb").readline()

    assert 400 <= int(status_line.split()[1]) < 500, status_line


def test_wrong_method_returns_405_with_allow(ada):
    response = ada("PUT", "/rag/search", json={})
    assert_problem(response, 405)
    assert "POST" in response.headers["Allow"]


def test_too_large_upload_is_rejected_before_the_body_is_sent(suite, ada):
    connection = HTTPConnection("127.0.0.1", suite.ports["gateway"], timeout=10)
    headers = {
        "Authorization": ada.session.headers["Authorization"],
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(300 * 1024 * 1024),
    }
    connection.request("POST", "/rag/documents", headers=headers)
    response = connection.getresponse()

    assert (response.status, json.loads(response.read())["code"]) == (413, "too_large")
    connection.close()
