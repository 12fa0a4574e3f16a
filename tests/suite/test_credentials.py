"""At every service: what proves nothing opens nothing, and a flood of guesses holds nobody up."""

from collections import Counter

import pytest
import requests

from tests.forgery import Forger
from tests.identities import Identities
from tests.servers import wait_until
from tests.suite.conftest import flood

pytestmark = pytest.mark.suite
DOORS = {"auth": "/me", "agent": "/sessions", "rag": "/documents", "gateway": "/rag/documents"}


@pytest.fixture(scope="module")
def bad_tokens(suite):
    """Forged with the very key that auth signs with, so that nothing else gives them away."""
    secret = (suite.folder / "data" / "secrets" / "JWT_SECRET_KEY").read_text().strip()
    return Forger(Identities(secret)).tokens()


@pytest.mark.parametrize("service", DOORS)
def test_every_bad_token_is_a_401_and_never_an_error(suite, bad_tokens, service):
    url = f"http://127.0.0.1:{suite.ports[service]}{DOORS[service]}"
    answered = {}
    with requests.Session() as session:
        for kind, token in bad_tokens.items():
            header = b"Bearer " + token.encode()
            answered[kind] = session.get(url, headers={"Authorization": header}, timeout=10)

    wrong = {k: r.status_code for k, r in answered.items() if r.status_code not in (400, 401)}
    assert wrong == {}
    # A header that is no HTTP may be refused as such, before anybody looks for a token in it.
    not_http = {kind for kind, r in answered.items() if r.status_code == 400}
    assert not_http <= {"not ASCII"}
    assert len(bad_tokens) >= 50


def test_a_token_of_another_use_opens_nothing(suite, ada):
    refresh = ada.account["refresh_token"]
    for service, path in DOORS.items():
        url = f"http://127.0.0.1:{suite.ports[service]}{path}"
        for headers in (
            {"Authorization": f"Bearer {refresh}"},
            {"X-API-Key": ada.account["access_token"]},
            {"X-Service-Token": ada.account["access_token"]},
        ):
            assert requests.get(url, headers=headers, timeout=10).status_code == 401


def test_a_flood_of_guesses_does_not_hold_up_those_who_work(suite, ada):
    name = suite.person("victim").account["user"]["username"]
    answers: Counter[int] = Counter()
    waits: list[requests.Response] = []

    def note(response: requests.Response) -> None:
        answers[response.status_code] += 1
        if response.status_code in (429, 503):
            waits.append(response)

    # How long answers take meanwhile, benchmarks/security/flood.py tells.
    with flood(suite, name, note):
        wait_until(lambda: waits)
        for _ in range(60):
            assert ada("GET", "/auth/me").status_code == 200

    assert set(answers) <= {401, 429, 503}
    assert all(int(response.headers["Retry-After"]) >= 1 for response in waits)
