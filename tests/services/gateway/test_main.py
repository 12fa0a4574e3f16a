"""`python -m backend.services.gateway check`."""

import pytest

from backend.services.gateway.__main__ import main


@pytest.fixture
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_a_good_table_is_shown(environment, capsys):
    assert main(["check"]) == 0
    shown = capsys.readouterr().out
    assert "/auth" in shown
    assert "sign-in 10/60 s" in shown


def test_the_key_for_prometheus_is_the_same_each_time(environment, capsys):
    environment.setenv("SECRET_KEY", "a secret of the tests, long enough")

    assert main(["metrics-key"]) == 0
    key = capsys.readouterr().out
    assert main(["metrics-key"]) == 0

    assert capsys.readouterr().out == key
    assert key.startswith("mtr_")
    assert "secret" not in key


def test_a_bad_table_is_named_with_its_mend(environment, tmp_path, capsys):
    (tmp_path / "routes.toml").write_text("[routes.rag]\nprefix = 'rag'\n")
    environment.setenv("GATEWAY_ROUTES", str(tmp_path / "routes.toml"))

    assert main(["check"]) == 1
    assert "Route 'rag': prefix 'rag' must begin with a slash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("RATE_LIMIT_API", "often", "RATE_LIMIT_API: 'often' is no rate"),
        ("TRUSTED_PROXIES", "everyone", "TRUSTED_PROXIES: 'everyone'"),
        ("CORS_ORIGINS", "app.example", "'app.example' is no origin"),
        ("TLS_CERTFILE", "tls.crt", "go together"),
    ],
)
def test_a_bad_setting_is_named_with_its_mend(environment, capsys, name, value, told):
    environment.setenv(name, value)

    assert main(["check"]) == 1
    assert told in capsys.readouterr().err


def test_anything_else_shows_how_to_use_it(capsys):
    assert main(["what"]) == 2
    assert "usage" in capsys.readouterr().err
