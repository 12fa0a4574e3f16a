"""Start of the auth service: first admin and invalid settings."""

import stat

import pytest

from backend.chassis.one_time_secrets import pop_one_time_secrets
from backend.chassis.settings import SettingsError
from backend.services.auth.app import create_app
from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD


def test_first_admin_has_all_permissions(client):
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)

    assert admin.user["roles"] == ["admin"]
    assert "system:write" in admin.user["permissions"]
    assert admin.get("/health/detailed").json["dependencies"]["database"]["status"] == "healthy"


def test_generated_admin_password_is_stored_for_the_operator_once(make_settings, tmp_path):
    settings = make_settings(ADMIN_PASSWORD="")
    create_app(settings)
    secret_file = tmp_path / "announcements" / "first-admin"
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600

    (text,) = pop_one_time_secrets(tmp_path)
    password = text.partition("password ")[2].split()[0]
    restarted = create_app(settings)

    assert list(pop_one_time_secrets(tmp_path)) == []
    assert "http://127.0.0.1:5000/console/setup#setup_" in text
    assert ApiUser.sign_in(restarted.test_client(), "admin", password).username == "admin"


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        pytest.param({"ADMIN_EMAIL": "admin"}, "ADMIN_EMAIL", id="invalid address"),
        pytest.param({"ADMIN_USERNAME": "the admin"}, "ADMIN_USERNAME", id="invalid admin name"),
        pytest.param({"LOGIN_ATTEMPTS": "many"}, "LOGIN_ATTEMPTS", id="invalid rate"),
        pytest.param({"APP_ENV": "production"}, "SECRET_KEY", id="no secrets in production"),
    ],
)
def test_start_fails_and_names_the_variable_for_invalid_setting(
    make_settings, environment, variable
):
    with pytest.raises(SettingsError, match=variable):
        create_app(make_settings(**environment))


def test_weak_admin_password_starts_in_development_with_a_warning_until_it_is_changed(
    make_settings, capfd
):
    settings = make_settings(ADMIN_PASSWORD="admin123", ADMIN_EMAIL="admin@example.org")
    for _ in range(2):
        capfd.readouterr()
        client = create_app(settings).test_client()
        assert "production refuses it" in capfd.readouterr().err
    admin = ApiUser.sign_in(client, "admin", "admin123")
    assert admin.get("/me").json["email"] == "admin@example.org"
    change = {"current_password": "admin123", "new_password": ADMIN_PASSWORD}
    changed = client.post("/password/change", json=change, headers=admin.auth_headers)
    assert changed.status_code < 300
    capfd.readouterr()
    create_app(settings)

    assert "production refuses it" not in capfd.readouterr().err


def test_production_refuses_a_weak_admin_password_and_names_the_rule(make_settings):
    secret = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
    settings = make_settings(
        APP_ENV="production",
        SECRET_KEY=secret,
        JWT_SECRET_KEY=secret[::-1],
        ADMIN_PASSWORD="admin123",
    )

    with pytest.raises(SettingsError, match="ADMIN_PASSWORD: Use at least 12 characters"):
        create_app(settings)


def test_production_requires_longer_passwords(make_settings):
    secret = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
    settings = make_settings(APP_ENV="production", SECRET_KEY=secret, JWT_SECRET_KEY=secret[::-1])
    body = {"username": "testuser", "password": "testpass123"}

    response = create_app(settings).test_client().post("/register", json=body)

    assert (response.status_code, response.json["code"]) == (422, "weak_password")
