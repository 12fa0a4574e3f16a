"""Wrapping of data keys by a key file and by a command."""

import os
import sys
import time
from pathlib import Path

import pytest

from backend.chassis.data_encryption import key_wrapping
from backend.chassis.data_encryption.key_wrapping import FileKeyWrapper, KmsCommandWrapper
from backend.chassis.encryption import DamagedValue, MasterKeyError

# A KMS that reverses the text.
REVERSE = "import sys; print(sys.stdin.readline().strip()[::-1])"
DATA_KEY = bytes(range(32))


def command(code):
    return KmsCommandWrapper([sys.executable, "-S", "-c", code])


def test_file_key_unwraps_what_it_has_wrapped():
    wrapper = FileKeyWrapper(os.urandom(32))

    assert wrapper.unwrap(wrapper.wrap(DATA_KEY, b"a"), b"a") == DATA_KEY


def test_file_key_rejects_another_key_context_and_text():
    wrapper = FileKeyWrapper(os.urandom(32))
    wrapped = wrapper.wrap(DATA_KEY, b"a")

    for other, text, context in (
        (FileKeyWrapper(os.urandom(32)), wrapped, b"a"),
        (wrapper, wrapped, b"b"),
        (wrapper, "AAAA", b"a"),
        (wrapper, "not base64", b"a"),
    ):
        with pytest.raises(DamagedValue):
            other.unwrap(text, context)


def test_command_wraps_and_unwraps():
    wrapper = command(REVERSE)

    wrapped = wrapper.wrap(DATA_KEY, b"")

    assert wrapped.startswith("=8h")
    assert wrapper.unwrap(wrapped, b"") == DATA_KEY


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(3)", "wrap failed with status 3"),
        ("pass", "must print one line"),
        ("print('a\\nb')", "must print one line"),
        ("print('x' * 9000)", "must print one line"),
        ("while True: print('x' * 9000)", "wrap "),
    ],
)
def test_failing_command_gives_one_sentence(code, message):
    with pytest.raises(MasterKeyError, match=message):
        command(code).wrap(DATA_KEY, b"")


def test_missing_command_is_named():
    with pytest.raises(MasterKeyError, match="cannot be started: No such file"):
        KmsCommandWrapper(["/missing/kms"]).wrap(DATA_KEY, b"")


def test_slow_command_is_ended(monkeypatch):
    monkeypatch.setattr(key_wrapping, "_KMS_TIMEOUT_SECONDS", 0.2)

    with pytest.raises(MasterKeyError, match="took longer than"):
        command("import time; time.sleep(60)").wrap(DATA_KEY, b"")


def test_child_processes_of_a_slow_command_are_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(key_wrapping, "_KMS_TIMEOUT_SECONDS", 1.0)
    pid_file = tmp_path / "pid"
    script = f"sleep 60 < /dev/null > /dev/null & echo $! > {pid_file}; wait"
    wrapper = KmsCommandWrapper(["sh", "-c", script])

    with pytest.raises(MasterKeyError, match="took longer than"):
        wrapper.wrap(DATA_KEY, b"")

    assert is_ended(int(pid_file.read_text()))


def is_ended(pid):
    """Return True if the process *pid* ends within seconds, or is only not waited for."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_command_that_prints_no_key_is_rejected():
    with pytest.raises(MasterKeyError, match="unwrap did not print 32 bytes"):
        command("print('AAAA')").unwrap("wrapped", b"")
