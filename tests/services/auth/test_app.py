"""How auth starts: its first admin, its refusals."""

import stat

import pytest

from backend.chassis.one_time_secrets import take_announcements
from backend.chassis.settings import SettingsError
from backend.services.auth.app import create_app
from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import Person


def test_the_first_admin_may_do_everything(client):
    admin = Person.sign_in(client, "admin", ADMIN_PASSWORD)

    assert admin.user["roles"] == ["admin"]
    assert "system:write" in admin.user["permissions"]
    assert admin.get("/health/detailed").json["dependencies"]["database"]["status"] == "healthy"


def test_a_random_password_is_left_for_the_operator_once(make_settings, tmp_path):
    settings = make_settings(ADMIN_PASSWORD="")
    create_app(settings)
    note = tmp_path / "announcements" / "first-admin"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600

    (text,) = take_announcements(tmp_path)
    password = text.partition("password ")[2].split()[0]
    again = create_app(settings)

    assert list(take_announcements(tmp_path)) == []
    assert Person.sign_in(again.test_client(), "admin", password).username == "admin"


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        pytest.param({"ADMIN_PASSWORD": "admin"}, "ADMIN_PASSWORD", id="weak admin password"),
        pytest.param({"ADMIN_USERNAME": "the admin"}, "ADMIN_USERNAME", id="unfit admin name"),
        pytest.param({"TRUSTED_PROXIES": "nonsense"}, "TRUSTED_PROXIES", id="no network"),
        pytest.param({"APP_ENV": "production"}, "SECRET_KEY", id="no secrets in production"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(make_settings, environment, variable):
    with pytest.raises(SettingsError, match=variable):
        create_app(make_settings(**environment))


def test_production_asks_for_longer_passwords(make_settings):
    secret = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
    settings = make_settings(APP_ENV="production", SECRET_KEY=secret, JWT_SECRET_KEY=secret[::-1])
    body = {"username": "testuser", "password": "testpass123"}

    response = create_app(settings).test_client().post("/register", json=body)

    assert (response.status_code, response.json["code"]) == (422, "weak_password")
