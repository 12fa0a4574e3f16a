"""Settings of the decorators, read from the environment."""

import pytest
from flask import Flask

from backend.security import authenticated
from backend.security.authentication import get_security_context
from backend.security.revocation import LocalRevocations, SharedRevocations
from backend.security.settings import SecuritySettings, redis_url


def test_defaults_point_to_this_host(tmp_path):
    settings = SecuritySettings.from_env({"DATA_DIR": str(tmp_path)})

    assert settings == SecuritySettings(
        issuer="ai-agent-system",
        audience="ai-agent-system",
        auth_url="http://127.0.0.1:5001",
        redis_url=None,
        service_secret=None,
    )


def test_first_of_several_auth_urls_is_used():
    settings = SecuritySettings.from_env({"AUTH_SERVICE_URL": "http://a:1/ , http://b:2"})

    assert settings.auth_url == "http://a:1"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"REDIS_URL": "redis://r/1", "REDIS_HOST": "h"}, "redis://r/1"),
        ({"REDIS_HOST": "h"}, "redis://h:6379/0"),
        ({"REDIS_PORT": "7000"}, "redis://127.0.0.1:7000/0"),
        ({"REDIS_HOST": "h", "REDIS_PASSWORD": "a/b@c"}, "redis://:a%2Fb%40c@h:6379/0"),
    ],
)
def test_redis_url_is_read_from_one_or_several_variables(environment, url):
    assert redis_url(environment) == url


def test_generated_settings_are_read_from_the_data_folder(tmp_path):
    for name, text in (("valkey/url", "redis://v\n"), ("secrets/SECRET_KEY", "a secret\n")):
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text(text)

    settings = SecuritySettings.from_env({"DATA_DIR": str(tmp_path)})

    assert (settings.redis_url, settings.service_secret) == ("redis://v", "a secret")


def test_environment_takes_precedence_over_the_data_folder(tmp_path):
    environment = {"DATA_DIR": str(tmp_path), "SECRET_KEY": "given", "REDIS_URL": "redis://g"}
    settings = SecuritySettings.from_env(environment)

    assert (settings.redis_url, settings.service_secret) == ("redis://g", "given")


@pytest.mark.parametrize(
    ("url", "kind"), [("", LocalRevocations), ("redis://127.0.0.1:1", SharedRevocations)]
)
def test_bare_app_uses_settings_from_the_environment(monkeypatch, tmp_path, url, kind):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", url)
    app = Flask("bare")

    @app.get("/who")
    @authenticated
    def who():
        return ""

    assert app.test_client().get("/who").status_code == 401
    assert isinstance(get_security_context(app).revocations, kind)
    assert get_security_context(app) is get_security_context(app)
