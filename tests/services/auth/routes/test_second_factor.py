"""The second factor: turn it on, sign in with it, lose the device, turn it off."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyotp
import pytest

from backend.services.auth.app import create_app
from tests.databases import contents, database_in
from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import PASSWORD, Clock, Person, outcome


@dataclass
class Device:
    """What makes the codes, and the recovery codes that lie in a drawer."""

    totp: pyotp.TOTP
    clock: Clock
    drawer: list[str]

    def code(self) -> str:
        return self.totp.at(self.clock.now())


@pytest.fixture
def device(client, ada, clock):
    """Ada's, with the second factor on; half a minute after its first code."""
    begun = client.post("/mfa/totp", headers=ada.bearer)
    assert begun.status_code == 200, begun.text
    totp = pyotp.TOTP(begun.json["secret"])
    assert pyotp.parse_uri(begun.json["otpauth_uri"]).secret == totp.secret
    body = {"code": totp.at(clock.now())}
    confirmed = client.post("/mfa/totp/confirm", json=body, headers=ada.bearer)
    assert confirmed.status_code == 200, confirmed.text
    clock.pass_by(seconds=30)
    return Device(totp, clock, confirmed.json["recovery_codes"])


@pytest.fixture
def login(client):
    def sign_in(code: object = None, password: str = PASSWORD):
        body = {"username": "ada", "password": password} | ({"totp": code} if code else {})
        return client.post("/login", json=body)

    return sign_in


def test_a_sign_in_asks_for_the_code_once_the_password_is_right(login, device):
    assert outcome(login()) == (401, "totp_required")
    assert outcome(login(password="not the password")) == (401, "invalid_credentials")
    assert outcome(login("000000", "not the password")) == (401, "invalid_credentials")
    assert outcome(login("000000")) == (401, "invalid_totp")
    assert login(device.code()).status_code == 200


def test_being_asked_for_the_code_is_no_failure(login, device):
    assert {outcome(login()) for _ in range(12)} == {(401, "totp_required")}
    assert login(device.code()).status_code == 200


def test_a_code_is_good_once(app, device):
    body = {"username": "ada", "password": PASSWORD, "totp": device.code()}

    def sign_in(_: int) -> int:
        return app.test_client().post("/login", json=body).status_code

    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(threads.map(sign_in, range(4)))

    assert statuses == [200, 401, 401, 401]


@pytest.mark.parametrize(("seconds", "status"), [(-30, 200), (30, 200), (-90, 401), (60, 401)])
def test_clocks_may_differ_by_half_a_minute(login, device, clock, seconds, status):
    clock.pass_by(minutes=5)
    code = device.totp.at(int(clock.now().timestamp()) + seconds)

    assert login(code).status_code == status


def test_a_recovery_code_is_good_once_however_it_is_typed(login, device):
    assert len(set(device.drawer)) == 10
    code = device.drawer[0]

    assert login(code.upper().replace("-", " ")).status_code == 200
    assert outcome(login(code)) == (401, "invalid_totp")
    assert login(device.drawer[1]).status_code == 200


def test_guessing_codes_ends_after_five(client, login, device, clock):
    for _ in range(5):
        assert outcome(login("000000")) == (401, "invalid_totp")

    refused = login(device.code())

    assert outcome(refused) == (429, "too_many_attempts")
    assert 290 <= int(refused.headers["Retry-After"]) <= 300
    clock.pass_by(minutes=5)
    assert login(device.code()).status_code == 200


def test_unlocking_lets_codes_be_tried_again(client, ada, login, device):
    for _ in range(5):
        login("000000")
    admin = Person.sign_in(client, "admin", ADMIN_PASSWORD)

    client.post(f"/users/{ada.user['id']}/unlock", headers=admin.bearer)

    assert login(device.code()).status_code == 200


def test_it_goes_off_with_password_and_code_and_not_with_less(client, ada, login, device):
    def turn_off(password: str, code: str):
        body = {"password": password, "code": code}
        return client.delete("/mfa/totp", json=body, headers=ada.bearer)

    assert outcome(turn_off("not the password", device.code())) == (401, "invalid_credentials")
    assert outcome(turn_off(PASSWORD, "000000")) == (422, "invalid_totp")
    assert outcome(login()) == (401, "totp_required")
    assert turn_off(PASSWORD, device.code()).status_code == 204
    assert login().status_code == 200
    assert outcome(turn_off(PASSWORD, device.code())) == (409, "totp_inactive")
    assert login(device.drawer[0]).status_code == 200, "a code that nobody asked for"


def test_it_is_on_only_after_it_was_confirmed(client, ada, login, clock):
    secret = client.post("/mfa/totp", headers=ada.bearer).json["secret"]

    wrong = client.post("/mfa/totp/confirm", json={"code": "000000"}, headers=ada.bearer)

    assert outcome(wrong) == (422, "invalid_totp")
    assert login().status_code == 200
    another = client.post("/mfa/totp", headers=ada.bearer).json["secret"]
    assert another != secret
    body = {"code": pyotp.TOTP(another).at(clock.now())}
    assert client.post("/mfa/totp/confirm", json=body, headers=ada.bearer).status_code == 200


def test_it_is_not_replaced_while_it_is_on(client, ada, device):
    body = {"code": device.code()}

    assert outcome(client.post("/mfa/totp", headers=ada.bearer)) == (409, "totp_active")
    again = client.post("/mfa/totp/confirm", json=body, headers=ada.bearer)
    assert outcome(again) == (409, "totp_active")


def test_an_api_key_does_not_change_how_its_owner_signs_in(client, ada, login):
    key = client.post("/api-keys", json={"name": "x"}, headers=ada.bearer).json["key"]
    headers = {"X-API-Key": key}

    for answer in (
        client.post("/mfa/totp", headers=headers),
        client.patch("/me", json={"email": "eve@example.org"}, headers=headers),
    ):
        assert outcome(answer) == (403, "session_required")
    assert client.patch("/me", json={"display_name": "A"}, headers=headers).status_code == 200
    assert login().status_code == 200


def test_after_another_secret_key_the_drawer_still_opens_the_door(make_settings, device, clock):
    client = create_app(make_settings(SECRET_KEY="another one"), clock.now).test_client()
    body = {"username": "ada", "password": PASSWORD}

    codes = (device.code(), device.drawer[0])
    answers = [client.post("/login", json=body | {"totp": code}) for code in codes]

    assert [answer.status_code for answer in answers] == [401, 200]


def test_neither_secret_nor_recovery_codes_stand_in_the_tables(device, tmp_path):
    kept = str(contents(database_in(tmp_path, "test"), "auth"))

    assert device.totp.secret not in kept
    assert not any(code in kept or code.replace("-", "") in kept for code in device.drawer)


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
def test_bad_fields_are_pointed_at(client, ada, body, pointer):
    client.post("/mfa/totp", headers=ada.bearer)

    response = client.post("/mfa/totp/confirm", json=body, headers=ada.bearer)

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
