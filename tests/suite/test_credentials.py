"""Invalid credentials are rejected by every service; password guessing does not block others."""

from collections import Counter

import pytest
import requests

from tests.forgery import Forger
from tests.identities import Identities
from tests.servers import wait_until
from tests.suite.conftest import guess_passwords

pytestmark = pytest.mark.suite
PATHS = {"auth": "/me", "agent": "/sessions", "rag": "/documents", "gateway": "/rag/documents"}


@pytest.fixture(scope="module")
def invalid_tokens(suite):
    """Invalid tokens signed with auth's own key, so that only their defect can be detected."""
    secret = (suite.folder / "data" / "secrets" / "JWT_SECRET_KEY").read_text().strip()
    return Forger(Identities(secret)).tokens()


@pytest.mark.parametrize("service", PATHS)
def test_invalid_tokens_return_401(suite, invalid_tokens, service):
    url = f"http://127.0.0.1:{suite.ports[service]}{PATHS[service]}"
    responses = {}
    with requests.Session() as session:
        for kind, token in invalid_tokens.items():
            header = b"Bearer " + token.encode()
            responses[kind] = session.get(url, headers={"Authorization": header}, timeout=10)

    wrong = {k: r.status_code for k, r in responses.items() if r.status_code not in (400, 401)}
    assert wrong == {}
    # A header that is not valid HTTP may be rejected before the token is parsed.
    not_http = {kind for kind, r in responses.items() if r.status_code == 400}
    assert not_http <= {"not ASCII"}
    assert len(invalid_tokens) >= 50


def test_tokens_of_another_type_return_401(suite, ada):
    refresh = ada.account["refresh_token"]
    for service, path in PATHS.items():
        url = f"http://127.0.0.1:{suite.ports[service]}{path}"
        for headers in (
            {"Authorization": f"Bearer {refresh}"},
            {"X-API-Key": ada.account["access_token"]},
            {"X-Service-Token": ada.account["access_token"]},
        ):
            assert requests.get(url, headers=headers, timeout=10).status_code == 401


def test_requests_succeed_during_password_guessing(suite, ada):
    name = suite.register_user("victim").account["user"]["username"]
    statuses: Counter[int] = Counter()
    limited: list[requests.Response] = []

    def count_response(response: requests.Response) -> None:
        statuses[response.status_code] += 1
        if response.status_code in (429, 503):
            limited.append(response)

    # benchmarks/security/flood.py measures the latency meanwhile.
    with guess_passwords(suite, name, count_response):
        wait_until(lambda: limited)
        for _ in range(60):
            assert ada("GET", "/auth/me").status_code == 200

    assert set(statuses) <= {401, 429, 503}
    assert all(int(response.headers["Retry-After"]) >= 1 for response in limited)
