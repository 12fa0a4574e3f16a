"""Unsafe settings in production: the real processes exit with one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.chassis.catalog import CATALOG
from tests.servers import free_port

pytestmark = pytest.mark.suite

STRONG = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
SAMPLES = {
    "missing": None,
    "short": "tooshort7Kq",
    "sample value": "change-me-change-me-change-me-change-me",
    "repeated letter": "a" * 64,
}


def run_service(
    folder, service: str, **variables: str | None
) -> "subprocess.CompletedProcess[str]":
    entry = next(item for item in CATALOG if item.name == service)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "DATA_DIR": str(folder / "data"),
        "APP_ENV": "production",
        "SECRET_KEY": STRONG,
        "JWT_SECRET_KEY": STRONG[::-1],
        entry.port_variable: str(free_port()),
    } | variables
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-m", "backend.operations", "serve", service],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("secret", SAMPLES.values(), ids=SAMPLES.keys())
@pytest.mark.parametrize("service", [entry.name for entry in CATALOG])
def test_service_does_not_start_with_an_unsafe_secret(tmp_path, service, secret):
    process = run_service(tmp_path, service, SECRET_KEY=secret)

    assert process.returncode != 0
    assert "SECRET_KEY" in process.stderr
    assert "Traceback" not in process.stderr
    assert secret is None or secret not in process.stderr


@pytest.mark.parametrize("secret", SAMPLES.values(), ids=SAMPLES.keys())
def test_auth_does_not_start_with_an_unsafe_signing_key(tmp_path, secret):
    process = run_service(tmp_path, "auth", JWT_SECRET_KEY=secret)

    assert process.returncode != 0
    assert "JWT_SECRET_KEY" in process.stderr


@pytest.mark.parametrize(
    ("service", "variables", "variable"),
    [
        ("gateway", {"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
        ("auth", {"ADMIN_PASSWORD": "admin"}, "ADMIN_PASSWORD"),
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
def test_unsafe_setting_in_production_is_named(tmp_path, service, variables, variable):
    process = run_service(tmp_path, service, **variables)

    assert process.returncode != 0
    assert variable in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("service", [entry.name for entry in CATALOG])
def test_debug_mode_is_rejected_in_production(tmp_path, service):
    process = run_service(tmp_path, service, FLASK_DEBUG="1")

    assert process.returncode != 0
    assert "FLASK_DEBUG" in process.stderr
