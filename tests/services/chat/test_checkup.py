"""Findings of doctor for the chat service."""

from dataclasses import replace

import pytest

from backend.ai.speech.settings import SpeechServer, SpeechSettings
from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.services.chat.checkup import run_checks
from backend.services.chat.settings import Settings


@pytest.fixture(autouse=True)
def migrated_tables(settings):
    open_database(settings.database_url, "chat").migrate("chat")


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


def test_doctor_names_the_commands_that_the_embedded_engines_need(settings, monkeypatch):
    monkeypatch.setattr("backend.services.chat.checkup.are_packages_installed", lambda: False)
    monkeypatch.setattr("backend.services.chat.checkup.find_espeak", lambda: None)
    speech = SpeechSettings("embedded", "espeak", data_dir=settings.common.data_dir)
    settings = replace(settings, speech=speech)

    findings = list(run_checks(settings, tables_ok=True, running=False))

    assert [finding.level for finding in findings] == ["error", "error", "error", "warning"]
    fixes = " ".join(finding.fix for finding in findings)
    assert "install --extra voice" in fixes
    assert "python -m backend.services.chat fetch-model" in fixes
    assert "apt-get install espeak-ng" in fixes


def test_doctor_reports_a_speech_server_that_does_not_respond(settings):
    server = SpeechServer("http://127.0.0.1:9/v1", "whisper-1", "sesame")
    settings = replace(settings, speech=SpeechSettings(server, server))

    findings = list(run_checks(settings, tables_ok=True, running=False))

    assert ["VOICE_STT" in finding.problem for finding in findings] == [True, False]
    assert "sesame" not in repr(findings)
