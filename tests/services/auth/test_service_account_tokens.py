"""Services obtain and renew tokens of a service account from a running auth service."""

import threading
from contextlib import contextmanager

import pytest
from werkzeug.serving import make_server

from backend.chassis.http import ServiceClient, UpstreamProblem
from backend.chassis.service_accounts import (
    ServiceAccountKeyRejected,
    ServiceAccountTokens,
    ServiceAccountUnavailable,
    create_key_encryptor,
)
from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD

SECRET = "a secret of the tests, long enough"
ACCOUNT = {"name": "channel", "permissions": ["rag:read"]}


@contextmanager
def serve(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Channel:
    """A user of a service account: its stored key, its tokens and a clock."""

    def __init__(self, client, url):
        self.admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
        self.client = client
        self.encryptor = create_key_encryptor(SECRET)
        self.loads = 0
        self.seconds = 1000.0
        self.account = self._post("/service-accounts", ACCOUNT)
        self.store(self.account["key"])
        self.http = ServiceClient(url, read_timeout_seconds=10)
        self.tokens = ServiceAccountTokens(
            self.http, self.encryptor, self.load_sealed_key, lambda: self.seconds
        )

    def _post(self, path, body):
        response = self.client.post(path, json=body, headers=self.admin.auth_headers)
        assert response.status_code == 201, response.text
        return response.json

    def store(self, key):
        self.sealed = self.encryptor.encrypt_text(key)

    def load_sealed_key(self):
        self.loads += 1
        return self.sealed

    def rotate(self, overlap_seconds):
        path = f"/service-accounts/{self.account['id']}/rotate"
        return self._post(path, {"overlap_seconds": overlap_seconds})["key"]

    def get_me(self):
        return self.tokens.send(lambda headers: self.http.get("/me", headers))


@pytest.fixture
def channel(app, client):
    with serve(app) as url:
        yield Channel(client, url)


def test_request_is_sent_as_the_service_account(channel):
    assert channel.get_me()["id"] == channel.account["id"]
    assert channel.account["key"] not in channel.sealed


def test_token_is_renewed_after_half_of_its_lifetime(channel):
    first = channel.tokens.get_token()
    channel.seconds += 59
    assert channel.tokens.get_token() == first

    channel.seconds += 2

    assert channel.tokens.get_token() != first
    assert channel.loads == 2


def test_requests_succeed_while_the_key_is_rotated(channel):
    failures, rotated = [], threading.Event()

    def send_requests():
        try:
            while not rotated.is_set():
                assert channel.get_me()["id"] == channel.account["id"]
        except Exception as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    threads = [threading.Thread(target=send_requests) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        key = channel.rotate(overlap_seconds=60)
        channel.seconds += 61
        channel.get_me()
        channel.store(key)
        channel.seconds += 61
        channel.get_me()
    rotated.set()
    for thread in threads:
        thread.join()

    assert failures == []


def test_revoked_token_is_replaced_and_the_request_repeated(channel):
    channel.get_me()

    channel.store(channel.rotate(overlap_seconds=0))

    assert channel.get_me()["id"] == channel.account["id"]
    assert channel.loads == 2


def test_key_that_is_replaced_during_the_renewal_is_loaded_again(channel):
    sealed = [channel.sealed]
    channel.store(channel.rotate(overlap_seconds=0))
    sealed.append(channel.sealed)
    tokens = ServiceAccountTokens(channel.http, channel.encryptor, lambda: sealed.pop(0))

    assert tokens.send(lambda headers: channel.http.get("/me", headers))["kind"] == "service"


def test_other_errors_of_the_service_are_raised_once(channel):
    calls = []

    def request(headers):
        calls.append(headers)
        return channel.http.get("/users", headers)

    with pytest.raises(UpstreamProblem) as raised:
        channel.tokens.send(request)

    assert (raised.value.status, len(calls)) == (403, 1)


def test_token_is_used_until_it_expires_while_auth_does_not_respond(app, client):
    with serve(app) as url:
        channel = Channel(client, url)
        token = channel.tokens.get_token()

    channel.seconds += 110
    assert [channel.tokens.get_token() for _ in range(3)] == [token] * 3
    # One attempt to renew it, and the next one five seconds later.
    assert channel.loads == 2
    channel.seconds += 6
    with pytest.raises(ServiceAccountUnavailable):
        channel.tokens.get_token()


def test_deleted_account_is_reported(channel):
    channel.get_me()

    path = f"/service-accounts/{channel.account['id']}"
    assert channel.client.delete(path, headers=channel.admin.auth_headers).status_code == 204

    with pytest.raises(ServiceAccountKeyRejected):
        channel.get_me()


def test_key_sealed_with_another_secret_is_reported(channel):
    channel.sealed = create_key_encryptor("another secret").encrypt_text(channel.account["key"])

    with pytest.raises(ServiceAccountKeyRejected, match="another SECRET_KEY"):
        channel.tokens.get_token()


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"nothing", b'{"access_token": "a\\nb", "expires_in": 60}']
)
def test_invalid_response_of_auth_counts_as_unavailable(body):
    def app(_, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    encryptor = create_key_encryptor(SECRET)
    with serve(app) as url:
        tokens = ServiceAccountTokens(
            ServiceClient(url, read_timeout_seconds=5),
            encryptor,
            lambda: encryptor.encrypt_text("aas_sa.key"),
        )
        with pytest.raises(ServiceAccountUnavailable):
            tokens.get_token()
