"""Unsafe settings in production are rejected by name, and no service starts with them."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.chassis.catalog import CATALOG, get_service
from backend.chassis.settings import Env, SettingsError
from tests.servers import free_port

pytestmark = pytest.mark.suite

SERVICES = [entry.name for entry in CATALOG]
STRONG = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
SAMPLES = {
    "missing": None,
    "short": "tooshort7Kq",
    "sample value": "change-me-change-me-change-me-change-me",
    "repeated letter": "a" * 64,
}


def production_environment(folder, **variables: str | None) -> dict[str, str]:
    """Return safe settings with *variables* changed. The value None removes a variable."""
    environment = {
        "DATA_DIR": str(folder / "data"),
        "APP_ENV": "production",
        "SECRET_KEY": STRONG,
        "JWT_SECRET_KEY": STRONG[::-1],
    } | variables
    return {name: value for name, value in environment.items() if value is not None}


def run_service(
    folder, service: str, **variables: str | None
) -> "subprocess.CompletedProcess[str]":
    environment = production_environment(folder, **variables) | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        get_service(service).port_variable: str(free_port()),
    }
    return subprocess.run(
        [sys.executable, "-m", "backend.operations", "serve", service],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def load_settings(folder, service: str, **variables: str | None) -> None:
    """Load the settings as the process of *service* does, which takes seconds to start."""
    settings = importlib.import_module(f"backend.services.{service}.settings").Settings
    settings.from_env(Env(production_environment(folder, **variables)))


@pytest.mark.parametrize("secret", SAMPLES.values(), ids=SAMPLES.keys())
@pytest.mark.parametrize("service", SERVICES)
def test_unsafe_secret_is_rejected(tmp_path, service, secret):
    with pytest.raises(SettingsError, match="SECRET_KEY") as raised:
        load_settings(tmp_path, service, SECRET_KEY=secret)

    assert secret is None or secret not in str(raised.value)


@pytest.mark.parametrize("secret", SAMPLES.values(), ids=SAMPLES.keys())
def test_unsafe_signing_key_is_rejected(tmp_path, secret):
    with pytest.raises(SettingsError, match="JWT_SECRET_KEY"):
        load_settings(tmp_path, "auth", JWT_SECRET_KEY=secret)


@pytest.mark.parametrize(
    ("service", "variables", "variable"),
    [
        ("gateway", {"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
        (
            "auth",
            {
                "OIDC_PROVIDERS": "house",
                "OIDC_HOUSE_ISSUER": "http://127.0.0.1:1",
                "OIDC_HOUSE_CLIENT_ID": "x",
            },
            "OIDC_HOUSE_ISSUER",
        ),
    ],
)
def test_unsafe_setting_is_rejected_by_name(tmp_path, service, variables, variable):
    with pytest.raises(SettingsError, match=variable):
        load_settings(tmp_path, service, **variables)


@pytest.mark.parametrize("service", SERVICES)
def test_safe_settings_are_accepted(tmp_path, service):
    load_settings(tmp_path, service)


@pytest.mark.parametrize(
    ("service", "variables", "variable"),
    [
        *(
            pytest.param(service, {"FLASK_DEBUG": "1"}, "FLASK_DEBUG", marks=pytest.mark.slow)
            for service in SERVICES
        ),
        ("gateway", {"FLASK_DEBUG": "1"}, "FLASK_DEBUG"),
        pytest.param(
            "rag",
            {"SECRET_KEY": SAMPLES["sample value"]},
            "SECRET_KEY",
            marks=pytest.mark.slow,
        ),
        ("auth", {"ADMIN_PASSWORD": "admin"}, "ADMIN_PASSWORD"),
    ],
)
def test_service_process_exits_with_one_sentence(tmp_path, service, variables, variable):
    process = run_service(tmp_path, service, **variables)

    assert process.returncode != 0
    assert variable in process.stderr
    assert "Traceback" not in process.stderr
