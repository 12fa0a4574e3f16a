"""Limits of failed sign-ins: per account and network, per network, per account, per device."""

from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from backend.security.authentication import get_security_context
from backend.security.service_tokens import GATEWAY_HEADER, ServiceTokens
from backend.services.auth.app import create_app
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.fixture
def app(make_settings, clock):
    return create_app(make_settings(LOGIN_ATTEMPTS="3 per 1 minute"), clock.now)


@pytest.fixture
def guess(app):
    """Return a function that sends a wrong password as the gateway forwards it, without cookies."""
    services = get_security_context(app).service_tokens
    gateway = ServiceTokens(services._secret, "gateway")
    client = app.test_client(use_cookies=False)

    def send_guess(name="ada", address="192.0.2.1", password="not the password"):
        headers = {
            "X-Forwarded-For": address,
            GATEWAY_HEADER: gateway.get_token("auth-service"),
        }
        body = {"username": name, "password": password}
        return client.post("/login", json=body, headers=headers)

    return send_guess


def test_failed_logins_are_limited_per_name_and_address(client, guess, clock):
    ApiUser.register(client, "ada")

    for _ in range(5):
        assert guess(password=PASSWORD).status_code == 200
    assert [guess().status_code for _ in range(3)] == [401] * 3
    response = guess()

    assert get_problem(response) == (429, "too_many_attempts")
    assert int(response.headers["Retry-After"]) == 60
    assert get_problem(guess(name="ADA")) == (429, "too_many_attempts")
    assert guess(name="bob").status_code == 401
    clock.advance(seconds=2)
    assert guess(address="192.0.2.2", password=PASSWORD).status_code == 200
    clock.advance(seconds=60)
    assert guess(password=PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [("2001:db8::1", "2001:db8::ffff:2"), ("::ffff:192.0.2.1", "192.0.2.1")],
)
def test_addresses_of_one_network_are_counted_together(client, guess, clock, first, second):
    ApiUser.register(client, "ada")
    assert [guess(address=first).status_code for _ in range(3)] == [401] * 3
    clock.advance(seconds=2)

    assert guess(address=second).status_code == 429
    assert guess(address="2001:db8:0:1::1").status_code == 401


def test_guesses_from_many_addresses_are_delayed_by_the_account(client, guess, clock):
    ApiUser.register(client, "ada")

    statuses = [guess(address=f"192.0.2.{n}").status_code for n in range(6)]
    delayed = guess(address="198.51.100.1")
    clock.advance(seconds=2)

    assert statuses == [401] * 3 + [429] * 3
    assert int(delayed.headers["Retry-After"]) == 2
    assert guess(address="198.51.100.1").status_code == 401
    assert int(guess(address="198.51.100.2").headers["Retry-After"]) == 4


@pytest.mark.slow
def test_guesses_for_many_accounts_are_limited_by_the_network(guess):
    statuses = [guess(name=f"name-{n}").status_code for n in range(61)]

    assert statuses == [401] * 60 + [429]
    assert guess(name="name-61", address="192.0.2.2").status_code == 401


def test_known_device_signs_in_while_the_account_is_attacked(app, client, guess):
    ApiUser.register(client, "ada")
    for n in range(20):
        guess(address=f"192.0.2.{n}")
    body = {"username": "ada", "password": PASSWORD}

    assert guess(address="198.51.100.1", password=PASSWORD).status_code == 429
    assert client.post("/login", json=body).status_code == 200


def test_administrator_is_not_locked_out_by_guesses(app, client, guess, clock):
    ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    for n in range(20):
        guess(name="admin", address=f"192.0.2.{n}")

    assert ApiUser.sign_in(client, "admin", ADMIN_PASSWORD).username == "admin"
    clock.advance(seconds=120)
    from_elsewhere = guess(name="admin", address="198.51.100.1", password=ADMIN_PASSWORD)
    assert from_elsewhere.status_code == 200


def test_known_device_has_a_limit_of_its_own(client, guess):
    ApiUser.register(client, "ada")
    wrong = {"username": "ada", "password": "not the password"}

    statuses = [client.post("/login", json=wrong).status_code for _ in range(4)]

    assert statuses == [401, 401, 401, 429]
    assert guess(password=PASSWORD).status_code == 200


def test_device_token_of_another_account_or_with_another_signature_is_ignored(client, guess):
    ApiUser.register(client, "ada")
    ApiUser.register(client, "bob")
    cookie = client.get_cookie("known_device").value
    for n in range(3):
        guess(address=f"192.0.2.{n}")
    body = {"username": "ada", "password": PASSWORD}

    assert client.post("/login", json=body).status_code == 429
    ada_id = ApiUser.sign_in(client, "bob").user["id"]
    client.set_cookie("known_device", cookie.replace(cookie[:32], ada_id))
    assert client.post("/login", json=body).status_code == 429


def test_device_cookie_is_hidden_from_scripts_and_other_sites(client):
    body = {"username": "ada", "password": PASSWORD}

    cookie = client.post("/register", json=body).headers["Set-Cookie"]

    assert cookie.startswith("known_device=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


@pytest.mark.parametrize("token", [None, "forged"])
def test_forwarded_address_without_token_of_the_gateway_is_ignored(app, client, token):
    ApiUser.register(client, "ada")
    guesser = app.test_client(use_cookies=False)
    body = {"username": "ada", "password": "not the password"}

    def send_guess(n):
        headers = {"X-Forwarded-For": f"192.0.2.{n}"} | ({GATEWAY_HEADER: token} if token else {})
        return guesser.post("/login", json=body, headers=headers)

    assert [send_guess(n).status_code for n in range(4)] == [401, 401, 401, 429]
    assert int(send_guess(5).headers["Retry-After"]) == 60, "all guesses count for 127.0.0.1"


def test_sign_in_resets_the_counter_of_account_and_network_only(client, guess, execute):
    ApiUser.register(client, "ada")
    guess()

    guess(password=PASSWORD)

    rows = execute("SELECT failures FROM failed_attempts ORDER BY failures")
    assert rows == [(1,)]


def test_correct_password_without_code_is_no_failure_and_no_reset(client, guess, execute, clock):
    ada = ApiUser.register(client, "ada")
    secret = client.post("/mfa/totp", headers=ada.auth_headers).json["secret"]
    code = pyotp.TOTP(secret).at(clock.now())
    client.post("/mfa/totp/confirm", json={"code": code}, headers=ada.auth_headers)
    guess()

    assert get_problem(guess(password=PASSWORD)) == (401, "totp_required")

    rows = execute("SELECT failures FROM failed_attempts ORDER BY failures")
    assert rows == [(1,), (1,)]


def test_concurrent_correct_sign_ins_are_all_accepted(make_settings):
    app = create_app(make_settings())  # on the system clock
    ApiUser.register(app.test_client(), "ada")
    body = {"username": "ada", "password": PASSWORD}

    def sign_in(_):
        return app.test_client(use_cookies=False).post("/login", json=body).status_code

    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(sign_in, range(40))) == {200}


def test_failures_before_the_clock_was_set_back_do_not_delay(client, guess, clock):
    ApiUser.register(client, "ada")
    guess()
    clock.advance(hours=-1)

    assert guess(password=PASSWORD).status_code == 200


def test_outdated_counters_are_deleted(client, guess, clock, execute):
    guess()
    clock.advance(hours=2)
    guess(name="bob")

    assert execute("SELECT count(*) FROM failed_attempts") == [(2,)]
