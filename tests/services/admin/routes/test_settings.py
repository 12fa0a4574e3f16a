"""Settings and limits of the installation."""

import pytest

from backend.chassis.settings import Env
from backend.services.admin.app import create_app
from backend.services.admin.settings import Settings


@pytest.fixture
def get_items(tmp_path, identities, admin, monkeypatch):
    """Return a function that gets the items of a list by name, for an installation's variables."""
    monkeypatch.chdir(tmp_path)

    def get(path: str, dotenv: str = "", **variables: str):
        (tmp_path / ".env").write_text(dotenv)
        app = create_app(Settings.from_env(Env({"DATA_DIR": str(tmp_path), **variables})))
        response = identities.trust(app).test_client().get(path, headers=admin)
        assert response.status_code == 200, response.text
        return {item["name"]: item for item in response.json["items"]}

    return get


def test_settings_have_a_value_and_its_origin(get_items):
    # `load_env` adds the variables of `.env` to the environment.
    items = get_items("/settings", "LOG_LEVEL=DEBUG\n", LOG_LEVEL="DEBUG", PASSWORD_MIN_LENGTH="14")

    assert items["LOG_LEVEL"] == {"name": "LOG_LEVEL", "value": "DEBUG", "origin": ".env"}
    assert items["PASSWORD_MIN_LENGTH"]["origin"] == "environment"
    assert items["RATE_LIMIT_API"] == {
        "name": "RATE_LIMIT_API",
        "value": "100/minute",
        "origin": "default",
    }


def test_secrets_are_not_shown(get_items):
    secret = "correct-horse-battery-staple"
    items = get_items(
        "/settings",
        SECRET_KEY=secret,
        ADMIN_PASSWORD=secret,
        LLM_API_KEY=secret,
        DATABASE_URL=f"postgresql://agent:{secret}@db:5432/agent",
        PUBLIC_URL=f"https://agent.example?token={secret}&a=1",
    )

    assert secret not in str(items)
    assert items["SECRET_KEY"]["value"] == "(set)"
    assert items["DATABASE_URL"]["value"] == "postgresql://…@db:5432/agent"
    assert items["PUBLIC_URL"]["value"] == "https://agent.example?token=…&a=1"


def test_variables_that_are_no_settings_are_not_shown(get_items):
    items = get_items("/settings", OIDC_HOUSE_CLIENT_SECRET="x" * 20, HOME="/root")

    assert not {"OIDC_HOUSE_CLIENT_SECRET", "HOME", "PATH"} & items.keys()


def test_limits_have_a_scope(get_items):
    items = get_items("/limits", RATE_LIMIT_API="50/minute", LLM_TOKENS_USER="9000/minute")

    assert items["RATE_LIMIT_API"] == {
        "name": "RATE_LIMIT_API",
        "scope": "requests per user",
        "value": "50/minute",
        "origin": "environment",
    }
    assert items["LLM_TOKENS_USER"]["value"] == "9000/minute"
    # Every limit is a documented setting.
    assert len(items) == 23


@pytest.mark.parametrize("path", ["/settings", "/limits"])
def test_settings_require_system_read(client, identities, path):
    response = client.get(path, headers=identities.bearer("user-bob"))

    assert response.status_code == 403
