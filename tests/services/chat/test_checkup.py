"""Findings of doctor for the chat service."""

from dataclasses import replace

from backend.chassis.settings import Env
from backend.services.chat.checkup import run_checks
from backend.services.chat.settings import Settings


def test_doctor_says_that_mongodb_is_not_used(settings):
    settings = replace(settings, mongodb_variables=("MONGODB_URI",))

    (finding,) = run_checks(settings, tables_ok=True, running=False)

    assert finding.level == "warning"
    assert "MONGODB_URI" in finding.problem
    assert "DATABASE_URL" in finding.consequence


def test_doctor_finds_nothing_without_mongodb(settings):
    assert list(run_checks(settings, tables_ok=True, running=False)) == []


def test_settings_read_the_mongodb_variables(tmp_path):

    env = Env({"DATA_DIR": str(tmp_path), "MONGODB_URL": "mongodb://db", "SESSION_TTL": "60"})

    settings = Settings.from_env(env)

    assert settings.mongodb_variables == ("MONGODB_URL",)
    assert settings.session_lifetime.total_seconds() == 60
