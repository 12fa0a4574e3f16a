"""Encryption of table columns."""

import pytest

from backend.chassis.encryption import DecryptionError, Encryptor
from backend.security.key_derivation import derive_key

SECRET = "a secret of the tests, long enough"
# Written by an earlier release. Values in the tables must stay readable.
STORED_TOKEN = (
    "gAAAAABrC6lh7d4d4oagdFBMjd4bDDyuHGmm8YXVjQCnEWOfxEA0a3xb_CMoZv5nzHQB1a_fVhaTxq2z2qM5HaPW"
    "1udn8A5tig=="
)
STORED_KEY = "ac6ed70557d83414d0bfefdcd898923a2ce15cfb5dcb6512da04cd84d13d74fa"


def test_text_and_bytes_are_decrypted_to_the_original():
    encryptor = Encryptor(SECRET, "mail")

    assert encryptor.decrypt_text(encryptor.encrypt_text("Ärger")) == "Ärger"
    assert encryptor.decrypt_bytes(encryptor.encrypt_bytes(b"\x00\xff")) == b"\x00\xff"


def test_token_of_an_earlier_release_is_decrypted():
    assert Encryptor(SECRET, "mail").decrypt_text(STORED_TOKEN) == "Ärger"


def test_derived_keys_do_not_change_between_releases():
    assert derive_key(SECRET, "idempotency").hex() == STORED_KEY


@pytest.mark.parametrize(
    ("secret", "purpose"), [("another secret, long enough too", "mail"), (SECRET, "totp")]
)
def test_token_of_another_secret_or_purpose_is_rejected(secret, purpose):
    with pytest.raises(DecryptionError):
        Encryptor(secret, purpose).decrypt_text(STORED_TOKEN)


def test_damaged_token_is_rejected():
    with pytest.raises(DecryptionError):
        Encryptor(SECRET, "mail").decrypt_text(f"{STORED_TOKEN[:-4]}AAAA")
