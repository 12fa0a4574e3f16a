"""Responses of real services pass both data paths of the gateway with their status and body.

tests/services/gateway/test_data_paths.py tests the same with a stand-in for the services.
"""

import json

import pytest
import requests

from tests.suite.conftest import DATA, PASSWORD, running_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow, pytest.mark.timeout(300)]
PDF = DATA / "multi_page.pdf"
TOO_LARGE = {"user_request": "x" * (2 * 1024 * 1024)}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((), id="asyncio"),
        pytest.param(("--dev",), id="development server"),
    ],
)
def suite(request, tmp_path_factory):
    """A suite whose gateway uses the data path of the parameter."""
    with running_suite(tmp_path_factory.mktemp("suite"), *request.param) as suite:
        yield suite


@pytest.fixture(scope="module")
def user(suite):
    return suite.register_user("reader")


def test_refusals_keep_status_and_problem_document(suite, user):
    name = user.account["user"]["username"]
    wrong_login = {"username": name, "password": "a wrong password"}
    duplicate = {"username": name, "password": PASSWORD}
    refusals = {
        (401, "invalid_credentials"): ("POST", "/auth/login", wrong_login),
        (403, "permission_denied"): ("GET", "/admin/stats", None),
        (404, "not_found"): ("GET", "/rag/documents/unknown", None),
        (409, "username_taken"): ("POST", "/auth/register", duplicate),
        (413, "too_large"): ("POST", "/agent/query", TOO_LARGE),
        (422, "validation_failed"): ("POST", "/agent/query", {}),
    }

    answers = [user(method, path, json=body) for method, path, body in refusals.values()]

    assert [(a.status_code, a.json()["code"]) for a in answers] == list(refusals)
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_limit_of_a_service_passes_with_retry_after(suite):
    body = {"username": "unknown-user", "password": "a wrong password"}

    for _ in range(20):
        answer = requests.post(f"{suite.url}/auth/login", json=body, timeout=30)
        if answer.status_code != 401:
            break

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_attempts")
    assert int(answer.headers["Retry-After"]) > 0


def test_event_stream_passes_event_by_event(user):
    body = {"user_request": "What is 17 * 23?", "stream": True}

    with user("POST", "/agent/query", json=body, stream=True) as answer:
        lines = [line for line in answer.iter_lines(decode_unicode=True) if line]

    assert answer.headers["Content-Type"].startswith("text/event-stream")
    last = json.loads([line for line in lines if line.startswith("data:")][-1][5:])
    assert "391" in json.dumps(last)


def test_download_passes_byte_by_byte(user):
    document = user.upload(PDF)

    whole = user("GET", f"/rag/documents/{document['id']}/content")
    part = user("GET", f"/rag/documents/{document['id']}/content", headers={"Range": "bytes=10-19"})

    assert (whole.status_code, whole.content) == (200, PDF.read_bytes())
    assert (part.status_code, part.content) == (206, PDF.read_bytes()[10:20])
