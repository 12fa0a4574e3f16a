"""Second factor: enrollment, sign-in, recovery codes and deactivation."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyotp
import pytest

from backend.services.auth.app import create_app
from tests.databases import contents, database_in
from tests.services.auth.api_user import PASSWORD, ApiUser, FakeClock, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


@dataclass
class Authenticator:
    """An authenticator app with the recovery codes of the account."""

    totp: pyotp.TOTP
    clock: FakeClock
    recovery_codes: list[str]

    def generate_code(self) -> str:
        return self.totp.at(self.clock.now())


@pytest.fixture
def authenticator(client, ada, clock):
    """Activate ada's second factor, and advance the clock by one time step."""
    enrollment = client.post("/mfa/totp", headers=ada.auth_headers)
    assert enrollment.status_code == 200, enrollment.text
    totp = pyotp.TOTP(enrollment.json["secret"])
    assert pyotp.parse_uri(enrollment.json["otpauth_uri"]).secret == totp.secret
    body = {"code": totp.at(clock.now())}
    confirmed = client.post("/mfa/totp/confirm", json=body, headers=ada.auth_headers)
    assert confirmed.status_code == 200, confirmed.text
    clock.advance(seconds=30)
    return Authenticator(totp, clock, confirmed.json["recovery_codes"])


@pytest.fixture
def login(client):
    def sign_in(code: object = None, password: str = PASSWORD):
        body = {"username": "ada", "password": password} | ({"totp": code} if code else {})
        return client.post("/login", json=body)

    return sign_in


def test_enrollment_contains_the_qr_code_of_the_uri(client, ada):
    enrollment = client.post("/mfa/totp", headers=ada.auth_headers).json

    rows = enrollment["qr_code"]
    size = len(rows)
    assert {len(row) for row in rows} == {size}
    assert set("".join(rows)) == {"0", "1"}
    # ISO/IEC 18004: 21 modules and 4 more for each version, with a finder pattern in three corners.
    assert size in range(21, 178, 4)
    finder = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    assert [row[:7] for row in rows[:7]] == finder
    assert [row[-7:] for row in rows[:7]] == finder
    assert [row[:7] for row in rows[-7:]] == finder


def test_account_lists_the_methods_that_prove_the_users_presence(client, ada, authenticator):
    first = ada.user["sign_in_methods"]
    me = client.get("/me", headers=ada.auth_headers).json["sign_in_methods"]

    assert (first, me) == (["password"], ["password", "totp"])


def test_login_requires_code_after_correct_password(login, authenticator):
    assert get_problem(login()) == (401, "totp_required")
    assert get_problem(login(password="not the password")) == (401, "invalid_credentials")
    assert get_problem(login("000000", "not the password")) == (401, "invalid_credentials")
    assert get_problem(login("000000")) == (401, "invalid_totp")
    assert login(authenticator.generate_code()).status_code == 200


def test_missing_code_does_not_count_as_failed_attempt(login, authenticator):
    assert {get_problem(login()) for _ in range(12)} == {(401, "totp_required")}
    assert login(authenticator.generate_code()).status_code == 200


def test_code_is_accepted_once(app, authenticator):
    body = {"username": "ada", "password": PASSWORD, "totp": authenticator.generate_code()}

    def sign_in(_: int) -> int:
        return app.test_client().post("/login", json=body).status_code

    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(threads.map(sign_in, range(4)))

    assert statuses == [200, 401, 401, 401]


@pytest.mark.parametrize(("seconds", "status"), [(-30, 200), (30, 200), (-90, 401), (60, 401)])
def test_code_is_accepted_within_30_seconds_of_clock_skew(
    login, authenticator, clock, seconds, status
):
    clock.advance(minutes=5)
    code = authenticator.totp.at(int(clock.now().timestamp()) + seconds)

    assert login(code).status_code == status


def test_recovery_code_is_accepted_once_in_any_format(login, authenticator):
    assert len(set(authenticator.recovery_codes)) == 10
    code = authenticator.recovery_codes[0]

    assert login(code.upper().replace("-", " ")).status_code == 200
    assert get_problem(login(code)) == (401, "invalid_totp")
    assert login(authenticator.recovery_codes[1]).status_code == 200


def test_login_returns_429_after_five_invalid_codes(client, login, authenticator, clock):
    for _ in range(5):
        assert get_problem(login("000000")) == (401, "invalid_totp")

    response = login(authenticator.generate_code())

    assert get_problem(response) == (429, "too_many_attempts")
    assert 290 <= int(response.headers["Retry-After"]) <= 300
    clock.advance(minutes=5)
    assert login(authenticator.generate_code()).status_code == 200


def test_unlock_resets_invalid_codes(client, ada, login, authenticator):
    for _ in range(5):
        login("000000")
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)

    client.post(f"/users/{ada.user['id']}/unlock", headers=admin.auth_headers)

    assert login(authenticator.generate_code()).status_code == 200


def test_deactivation_requires_password_and_code(client, ada, login, authenticator):
    def turn_off(password: str, code: str):
        body = {"password": password, "code": code}
        return client.delete("/mfa/totp", json=body, headers=ada.auth_headers)

    assert get_problem(turn_off("not the password", authenticator.generate_code())) == (
        401,
        "invalid_credentials",
    )
    assert get_problem(turn_off(PASSWORD, "000000")) == (422, "invalid_totp")
    assert get_problem(login()) == (401, "totp_required")
    assert turn_off(PASSWORD, authenticator.generate_code()).status_code == 204
    assert login().status_code == 200
    assert get_problem(turn_off(PASSWORD, authenticator.generate_code())) == (409, "totp_inactive")
    assert login(authenticator.recovery_codes[0]).status_code == 200, (
        "an unneeded code must be ignored"
    )


def test_second_factor_is_inactive_until_confirmed(client, ada, login, clock):
    secret = client.post("/mfa/totp", headers=ada.auth_headers).json["secret"]

    wrong = client.post("/mfa/totp/confirm", json={"code": "000000"}, headers=ada.auth_headers)

    assert get_problem(wrong) == (422, "invalid_totp")
    assert login().status_code == 200
    another = client.post("/mfa/totp", headers=ada.auth_headers).json["secret"]
    assert another != secret
    body = {"code": pyotp.TOTP(another).at(clock.now())}
    assert client.post("/mfa/totp/confirm", json=body, headers=ada.auth_headers).status_code == 200


def test_active_second_factor_cannot_be_replaced(client, ada, authenticator):
    body = {"code": authenticator.generate_code()}

    assert get_problem(client.post("/mfa/totp", headers=ada.auth_headers)) == (409, "totp_active")
    repeated = client.post("/mfa/totp/confirm", json=body, headers=ada.auth_headers)
    assert get_problem(repeated) == (409, "totp_active")


def test_api_key_cannot_change_sign_in_data_of_its_owner(client, ada, login):
    key = client.post("/api-keys", json={"name": "x"}, headers=ada.auth_headers).json["key"]
    headers = {"X-API-Key": key}

    for response in (
        client.post("/mfa/totp", headers=headers),
        client.patch("/me", json={"email": "eve@example.org"}, headers=headers),
    ):
        assert get_problem(response) == (403, "session_required")
    assert client.patch("/me", json={"display_name": "A"}, headers=headers).status_code == 200
    assert login().status_code == 200


def test_recovery_codes_remain_valid_after_secret_key_change(make_settings, authenticator, clock):
    client = create_app(make_settings(SECRET_KEY="another one"), clock.now).test_client()
    body = {"username": "ada", "password": PASSWORD}

    codes = (authenticator.generate_code(), authenticator.recovery_codes[0])
    responses = [client.post("/login", json=body | {"totp": code}) for code in codes]

    assert [response.status_code for response in responses] == [401, 200]


def test_tables_contain_neither_totp_secret_nor_recovery_codes(authenticator, tmp_path):
    stored = str(contents(database_in(tmp_path, "auth"), "auth"))

    assert authenticator.totp.secret not in stored
    assert not any(
        code in stored or code.replace("-", "") in stored for code in authenticator.recovery_codes
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/code"),
        ({"code": 123456}, "#/code"),
        ({"code": "1" * 33}, "#/code"),
        ({"code": ""}, "#/code"),
        ({"code": "1\u0000"}, "#/code"),
        ({"code": "123456", "secret": "chosen"}, "#/secret"),
    ],
    ids=str,
)
def test_confirm_rejects_invalid_field(client, ada, body, pointer):
    client.post("/mfa/totp", headers=ada.auth_headers)

    response = client.post("/mfa/totp/confirm", json=body, headers=ada.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
