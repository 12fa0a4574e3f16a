"""Commands of `python -m backend.services.gateway`."""

import pytest

from backend.services.gateway.__main__ import main


@pytest.fixture
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_check_prints_the_route_table(environment, capsys):
    assert main(["check"]) == 0
    output = capsys.readouterr().out
    assert "/auth" in output
    assert "sign-in 10/60 s" in output


def test_metrics_key_is_the_same_for_every_call(environment, capsys):
    environment.setenv("SECRET_KEY", "a secret of the tests, long enough")

    assert main(["metrics-key"]) == 0
    key = capsys.readouterr().out
    assert main(["metrics-key"]) == 0

    assert capsys.readouterr().out == key
    assert key.startswith("mtr_")
    assert "secret" not in key


def test_check_reports_invalid_route_table(environment, tmp_path, capsys):
    (tmp_path / "routes.toml").write_text("[routes.rag]\nprefix = 'rag'\n")
    environment.setenv("GATEWAY_ROUTES", str(tmp_path / "routes.toml"))

    assert main(["check"]) == 1
    assert "Route 'rag': prefix 'rag' must start with a slash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RATE_LIMIT_API", "often", "RATE_LIMIT_API: 'often' is not a rate"),
        ("TRUSTED_PROXIES", "everyone", "TRUSTED_PROXIES: 'everyone'"),
        ("CORS_ORIGINS", "app.example", "'app.example' is not an origin"),
        ("TLS_CERTFILE", "tls.crt", "Set both"),
    ],
)
def test_check_reports_invalid_setting(environment, capsys, name, value, message):
    environment.setenv(name, value)

    assert main(["check"]) == 1
    assert message in capsys.readouterr().err


def test_unknown_command_prints_usage(capsys):
    assert main(["what"]) == 2
    assert "usage" in capsys.readouterr().err
