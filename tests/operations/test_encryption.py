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
    database.migrate("chat")  # creates the role of a copied PostgreSQL database
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
    output = run("rewrap")[1]
    assert "chat: 0 data keys wrapped again, 2 wrapped by the master key " in output
    assert "To replace this one, put a new key on the first line" in output
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


def test_rewrap_prints_the_master_key_and_the_next_step(run, values, tmp_path):
    run("encrypt")
    key_file = tmp_path / "master.key"
    old = key_file.read_text()
    key_file.write_text(f"{base64.b64encode(os.urandom(32)).decode()}\n{old}")
    (finding,) = check(values)
    assert finding.startswith("1 data keys of chat are wrapped by the master key")
    assert "no: rewrap" in run("status")[1]

    status, output = run("rewrap")

    assert status == 0
    assert "chat: 1 data keys wrapped again, 1 wrapped by the master key" in output
    assert "Next: remove all keys but the first from ENCRYPTION_KEY_FILE" in output
    assert check(values) == []
    assert "no: rewrap" not in run("status")[1]
    key_file.write_text(key_file.read_text().splitlines()[0])
    assert run("status")[0] == 0


def test_rewrap_to_a_failing_command_says_how_to_continue(run, tmp_path):
    run("encrypt")
    script = tmp_path / "kms.sh"
    script.write_text("#!/bin/sh\nif [ $1 = wrap ]; then head -n 1 | rev; else rev; fi\n")
    script.chmod(0o700)
    changes = {"ENCRYPTION_KMS_COMMAND": str(script)}

    status, output = run("rewrap", **changes)
    assert (status, "wrapped by the KMS command" in output) == (0, True)
    assert "unset ENCRYPTION_KEY_FILE" in output

    script.write_text("#!/bin/sh\nexit 3\n")
    status, output = run("rotate-data-keys", **changes)
    assert status == 1
    assert "failed with status 3" in output


def test_interrupted_rotation_is_continued_with_encrypt(run, monkeypatch):
    run("encrypt")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "backend.chassis.data_encryption.reencryption.Reencryption.encrypt", interrupt
    )
    status, output = run("rotate-data-keys")

    assert status == 130
    assert "Continue with: python -m backend encryption encrypt" in output


def test_full_disk_is_reported_with_the_command_to_continue(run, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device", "/data/chat.db")

    monkeypatch.setattr("backend.chassis.data_encryption.reencryption.Reencryption.encrypt", fail)
    status, output = run("encrypt")

    assert status == 1
    assert "No space left on device: /data/chat.db" in output
    assert "Continue with: python -m backend encryption encrypt" in output


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
