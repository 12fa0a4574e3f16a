"""Commands for encryption at rest, on the tables of rag and chat without data of users."""

import base64
import os

import pytest
from sqlalchemy import text

from backend.chassis.data_encryption.checks import check_encryption
from backend.chassis.data_encryption.sealed_data import open_sealed_data
from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.operations import encryption
from tests.databases import database_in, on_postgresql

MESSAGE = """
INSERT INTO chat_conversations (id, tenant_id, account_id, channel, key, is_group, title, status,
  mode, last_seq, change_seq, answered_seq, changed_seq, answer_attempts, details, created_at,
  updated_at)
VALUES ('conv_1', 't1', 'acc_1', 'web', 'k', false, 'Invoice of May', 'open', 'bot', 0, 0, 0, 0, 0,
  '{}', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')
"""
ACCOUNT = """
INSERT INTO chat_accounts (id, tenant_id, channel, name, state, settings, failures, created_at,
  updated_at)
VALUES ('acc_1', 't1', 'web', 'Web', 'active', '{}', 0, '2026-01-01 00:00:00.000000',
  '2026-01-01 00:00:00.000000')
"""


@pytest.fixture
def values(tmp_path):
    """Variables of an installation with one conversation, and its new master key."""
    key_file = tmp_path / "master.key"
    key_file.write_text(base64.b64encode(os.urandom(32)).decode())
    key_file.chmod(0o600)
    data = tmp_path / "data"
    for service in ("rag", "chat"):
        url = database_in(data, service)
    database = open_database(url, "chat").across_tenants()
    with database.write() as session:
        session.execute(text(ACCOUNT))
        session.execute(text(MESSAGE))
    database.engine.dispose()
    return {
        "DATA_DIR": str(data),
        "SECRET_KEY": "kR8-a7Vf0Qp2mXz9cLw4nTb6yHs1dGj3eUo5iKq7",
        "ENCRYPTION_KEY_FILE": str(key_file),
        **({"DATABASE_URL": url} if on_postgresql() else {}),
    }


@pytest.fixture
def run(values, monkeypatch, capsys):
    """Return a function that runs a command and returns its status and output."""

    def run_command(name, **changes):
        monkeypatch.setattr(encryption, "load_env", lambda: Env(values | changes))
        status = encryption.main(["encryption", name])
        return status, "".join(capsys.readouterr())

    return run_command


def check(values, **changes):
    data = open_sealed_data("chat", Env(values | changes))
    try:
        return [finding.problem for finding in check_encryption(data)]
    finally:
        data.database.engine.dispose()


def test_existing_data_is_encrypted_rotated_and_decrypted(run, values):
    assert run("encrypt")[0] == 0
    status, output = run("status")
    assert status == 0
    assert "chat_conversations" in output
    assert "chat: new data keys for 1 tenants" in run("rotate-data-keys")[1]
    assert "chat: 0 data keys wrapped again" in run("rewrap")[1]
    assert check(values) == []

    assert run("status", ENCRYPTION_KEY_FILE="")[0] == 1  # the data is encrypted
    assert run("decrypt")[0] == 0
    status, output = run("status", ENCRYPTION_KEY_FILE="")
    assert (status, "Encryption at rest is off" in output) == (0, True)
    assert run("encrypt", ENCRYPTION_KEY_FILE="")[0] == 1


def test_another_key_is_refused(run, tmp_path):
    run("encrypt")
    other = tmp_path / "other.key"
    other.write_text(base64.b64encode(os.urandom(32)).decode())

    status, output = run("decrypt", ENCRYPTION_KEY_FILE=str(other))

    assert status == 1
    assert "which is not in ENCRYPTION_KEY_FILE" in output


def test_doctor_reports_clear_data_and_problems_of_the_key(run, values, tmp_path):
    assert check(values, ENCRYPTION_KEY_FILE="") == []
    assert check(values) == ["1 rows and files of chat are not encrypted."]
    run("encrypt")
    key_file = tmp_path / "master.key"
    key_file.chmod(0o644)
    assert [problem[:27] for problem in check(values)] == ["The file of the master key,"]
    key_file.chmod(0o600)
    assert "is not in ENCRYPTION_KEY_FILE" in check(values, ENCRYPTION_KEY_FILE="")[0]
    failing = {"ENCRYPTION_KEY_FILE": "", "ENCRYPTION_KMS_COMMAND": "/bin/false"}
    assert "master key" in check(values, **failing)[0]
