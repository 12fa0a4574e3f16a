"""Settings of encryption at rest: each value that cannot be used gives one sentence."""

import base64

import pytest

from backend.chassis.data_encryption.settings import NO_ENCRYPTION, EncryptionSettings
from backend.chassis.secret_files import read_secret_files
from backend.chassis.settings import Env, SettingsError

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()


def read(**values):
    return EncryptionSettings.from_env(Env(values))


def test_encryption_is_off_by_default():
    assert read() == NO_ENCRYPTION
    assert not read().is_on


def test_keys_are_read_from_the_lines_of_a_file(tmp_path):
    file = tmp_path / "master.key"
    file.write_text(f"# current\n{KEY}\n\n# old\n{OTHER_KEY}\n")

    assert read(ENCRYPTION_KEY_FILE=str(file)).master_keys == (
        bytes(range(32)),
        bytes(range(1, 33)),
    )


def test_keys_are_not_shown():
    assert "\\x01" not in repr(read(ENCRYPTION_KEY=KEY))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no key"),
        ("# nothing\n", "contains no key"),
        ("password", "line 1 is not a key of 32 bytes"),
        (f"{KEY}\n{KEY[:-4]}", "line 2 is not a key of 32 bytes"),
        (f"{KEY}\n{KEY}", "line 2 repeats"),
        ("ключ", "line 1 is not a key of 32 bytes"),
    ],
)
def test_invalid_key_file_is_rejected(tmp_path, text, message):
    file = tmp_path / "master.key"
    file.write_text(text)

    with pytest.raises(SettingsError, match=message):
        read(ENCRYPTION_KEY_FILE=str(file))


def test_invalid_key_in_the_variable_names_the_variable():
    with pytest.raises(SettingsError, match=r"^ENCRYPTION_KEY: line 1 is not a key of 32 bytes"):
        read(ENCRYPTION_KEY=KEY[:-4])


def test_key_file_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path):
    file = tmp_path / "master.key"
    file.write_bytes(b"\xef\xbb\xbf" + f"{KEY}\r\n{OTHER_KEY}\r\n".encode())

    assert len(read(ENCRYPTION_KEY_FILE=str(file)).master_keys) == 2


def test_missing_key_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read(ENCRYPTION_KEY_FILE=str(tmp_path / "missing"))


def test_key_and_file_together_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY and ENCRYPTION_KEY_FILE"):
        read(ENCRYPTION_KEY=KEY, ENCRYPTION_KEY_FILE=str(tmp_path))


def test_other_services_do_not_read_the_key_file():
    assert read_secret_files({"ENCRYPTION_KEY_FILE": "/missing"}) == {}


def test_command_is_split_like_in_a_shell():
    assert read(ENCRYPTION_KMS_COMMAND="kms --key 'a b'").kms_command == ("kms", "--key", "a b")
    with pytest.raises(SettingsError, match="ENCRYPTION_KMS_COMMAND is not a command"):
        read(ENCRYPTION_KMS_COMMAND="kms 'a")
