"""Checks that `doctor` runs for encryption at rest."""

from collections.abc import Iterator
from stat import S_IMODE

from backend.chassis.data_encryption.data_keys import describe_master_key, find_wrapped_by
from backend.chassis.data_encryption.reencryption import Reencryption
from backend.chassis.data_encryption.sealed_data import (
    SealedData,
    find_master_key_problems,
)
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.chassis.diagnostics import Finding, error, warning

_ENCRYPT = "python -m backend encryption encrypt"


def check_encryption(data: SealedData) -> Iterator[Finding]:
    """Yield the problems of the master key, and of data that is not encrypted yet."""
    yield from _check_key_file(data.service, data.settings)
    database = data.database.across_tenants()
    with database.read() as session:
        is_used = find_wrapped_by(data.service, session) is not None
        problems = (
            find_master_key_problems(data.service, session.connection(), data.settings)
            if is_used or data.settings.is_on
            else []
        )
    for problem in problems:
        yield error(
            data.service,
            problem,
            f"{data.service} does not start, or cannot read encrypted data.",
            "Set the master key with which the data was encrypted. docs/operations/encryption.md "
            "describes both settings.",
        )
    if data.settings.is_on and not problems:
        yield from _check_clear_data(data)


def _check_key_file(service: str, settings: EncryptionSettings) -> Iterator[Finding]:
    file = settings.key_file
    if file is None or not file.exists():
        return
    mode = S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield warning(
            service,
            f"The file of the master key, {file}, can be read by other users (mode {mode:o}).",
            "They can decrypt documents and messages in copies of the data.",
            f"chmod 600 {file}",
        )


def _check_clear_data(data: SealedData) -> Iterator[Finding]:
    reencryption = Reencryption.open(data, lambda *_: None)
    if reencryption is None:
        return
    others = {
        label: count
        for label, count in reencryption.count_data_keys().items()
        if label != reencryption.master_key
    }
    for label, count in sorted(others.items()):
        yield warning(
            data.service,
            f"{count} data keys of {data.service} are wrapped by {describe_master_key(label)}, not "
            f"by {describe_master_key(reencryption.master_key)}.",
            "Their data cannot be read without both master keys.",
            "python -m backend encryption rewrap",
        )
    counts = list(reencryption.count())
    clear, replaced = sum(each.clear for each in counts), sum(each.replaced for each in counts)
    if clear:
        yield warning(
            data.service,
            f"{clear} rows and files of {data.service} are not encrypted.",
            "They were stored before encryption was switched on, or an interrupted run left them.",
            _ENCRYPT,
        )
    if replaced:
        yield warning(
            data.service,
            f"{replaced} rows and files of {data.service} are encrypted with replaced data keys.",
            "The rotation of the data keys was not completed.",
            _ENCRYPT,
        )
