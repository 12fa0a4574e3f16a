"""Commands for encryption at rest: `python -m backend encryption …`.

status             print how much data is clear, or under replaced data keys, and the master keys
encrypt            encrypt existing data, and continue an interrupted run
rotate-data-keys   create a new data key for each tenant, then encrypt everything with it
rewrap             wrap the data keys with the current master key
decrypt            decrypt everything, while the services are stopped
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.console import CommandError, format_table, print_line
from backend.chassis.data_encryption.data_keys import describe_master_key
from backend.chassis.data_encryption.reencryption import Reencryption, Result
from backend.chassis.data_encryption.sealed_data import open_sealed_data
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.chassis.database.migration_folders import list_services_with_tables
from backend.chassis.encryption import MasterKeyError
from backend.chassis.settings import CommonSettings, Env, SettingsError, load_env
from backend.operations.supervisor.state import sole_supervisor

_PROGRESS_SECONDS = 5.0
_OFF = (
    "Encryption at rest is off. Set ENCRYPTION_KEY_FILE or ENCRYPTION_KMS_COMMAND; see "
    "docs/operations/encryption.md."
)


def main(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit code: 0, or 1 if it failed."""
    parser = argparse.ArgumentParser(
        prog="python -m backend encryption",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=_COMMANDS)
    command = parser.parse_args(arguments[1:]).command
    # A repeated rotation would create new data keys again.
    retry = f"Continue with: python -m backend encryption {_NEXT.get(command, command)}"
    try:
        return _COMMANDS[command](load_env())
    except (SettingsError, CommandError) as error:
        sys.stderr.write(f"encryption: {error}\n")
    except MasterKeyError as error:
        sys.stderr.write(f"encryption: {error}\n{retry}\n")
    except OSError as error:
        sys.stderr.write(f"encryption: {error.strerror}: {error.filename}.\n{retry}\n")
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        sys.stderr.write(f"encryption: the database does not respond: {reason}\n{retry}\n")
    except KeyboardInterrupt:
        sys.stderr.write(f"\nInterrupted. {retry}\n")
        return 130
    return 1


def _print_status(env: Env) -> int:
    rows: list[Sequence[object]] = []
    keys: list[Sequence[object]] = []
    is_on = False
    for service, reencryption in _open_services(env):
        is_on = True
        rows += [
            (service, counts.name, counts.total, counts.clear, counts.replaced)
            for counts in reencryption.count()
        ]
        keys += [
            (service, label, count, "yes" if label == reencryption.master_key else "no: rewrap")
            for label, count in sorted(reencryption.count_data_keys().items())
        ]
    if not is_on:
        print_line(_OFF)
        return 0
    print_line(format_table(("service", "data", "total", "clear", "replaced key"), rows))
    print_line(format_table(("service", "wrapped by", "data keys", "current"), keys))
    return 0


def _encrypt(env: Env) -> int:
    return _convert(env, Reencryption.encrypt, "encrypted")


def _rotate_data_keys(env: Env) -> int:
    for service, reencryption in _open_services(env):
        count = reencryption.rotate_data_keys()
        print_line(
            f"{service}: new data keys for {count} tenants, wrapped by "
            f"{describe_master_key(reencryption.master_key)}"
        )
    status = _encrypt(env)
    if status == 0:
        print_line(
            "All data is encrypted with the new data keys. Replaced ones stay in the table: search "
            "words and earlier backups need them."
        )
    return status


def _rewrap(env: Env) -> int:
    is_on = False
    for service, reencryption in _open_services(env):
        is_on = True
        master_key = describe_master_key(reencryption.master_key)
        count = reencryption.rewrap_data_keys()
        total = sum(reencryption.count_data_keys().values())
        print_line(f"{service}: {count} data keys wrapped again, {total} wrapped by {master_key}")
    if is_on:
        print_line(_describe_next_step(EncryptionSettings.from_env(env)))
    return _check_is_on(is_on)


def _describe_next_step(settings: EncryptionSettings) -> str:
    """Return what to do after all data keys were wrapped with the current master key."""
    if settings.kms_command and settings.master_keys:
        return (
            "Next: unset ENCRYPTION_KEY_FILE or ENCRYPTION_KEY, whose keys are not used any more, "
            "and restart the suite."
        )
    if len(settings.master_keys) > 1:
        return (
            "Next: remove all keys but the first from ENCRYPTION_KEY_FILE, and restart the suite. "
            "Keep them as long as there are backups that need them."
        )
    if settings.kms_command:
        return "There is no other master key. The KMS can rotate its keys without this command."
    return (
        "There is no other master key. To replace this one, put a new key on the first line of "
        "ENCRYPTION_KEY_FILE, restart the suite, and run this command again."
    )


def _decrypt(env: Env) -> int:
    # Running services would encrypt new data.
    with sole_supervisor(CommonSettings.from_env(env, "rag").data_dir):
        status = _convert(env, Reencryption.decrypt, "decrypted")
    if status == 0:
        print_line(
            "Everything is decrypted. Remove ENCRYPTION_KEY_FILE and ENCRYPTION_KMS_COMMAND before "
            "the next start."
        )
    return status


def _convert(env: Env, convert: Callable[[Reencryption], Result], label: str) -> int:
    is_on, damaged = False, 0
    for service, reencryption in _open_services(env):
        is_on = True
        result = convert(reencryption)
        print_line(f"{service}: {result.converted} rows and files {label}")
        if result.damaged:
            damaged += result.damaged
            examples = ", ".join(result.examples)
            print_line(f"{service}: {result.damaged} cannot be decrypted, such as {examples}")
        if not reencryption.remove_deleted_text():
            print_line(
                f"{service}: the database file is in use, and its free pages may contain deleted "
                "text. Run the command again while the services are stopped."
            )
    return _check_is_on(is_on) or (1 if damaged else 0)


def _check_is_on(is_on: bool) -> int:
    if not is_on:
        sys.stderr.write(f"encryption: {_OFF}\n")
    return 0 if is_on else 1


def _open_services(env: Env) -> Iterator[tuple[str, Reencryption]]:
    """Yield the services with tables whose data is or can be encrypted."""
    for service in list_services_with_tables():
        common = CommonSettings.from_env(env, service)
        # Opening a missing SQLite file would create it.
        if (
            env.optional("DATABASE_URL") is None
            and not (common.data_dir / f"{service}.db").exists()
        ):
            continue
        data = open_sealed_data(service, env)
        reencryption = None if data is None else Reencryption.open(data, _Progress(service).report)
        if data is not None:
            try:
                if reencryption is not None:
                    yield service, reencryption
            finally:
                data.database.engine.dispose()


class _Progress:
    """Prints the progress of a service, at most one line in five seconds."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._next_at = monotonic() + _PROGRESS_SECONDS

    def report(self, name: str, done: int, total: int) -> None:
        if monotonic() >= self._next_at:
            self._next_at = monotonic() + _PROGRESS_SECONDS
            print_line(f"{self._service}: {f'{done} of {total} in ' if total else ''}{name}")


_COMMANDS = {
    "status": _print_status,
    "encrypt": _encrypt,
    "rotate-data-keys": _rotate_data_keys,
    "rewrap": _rewrap,
    "decrypt": _decrypt,
}
_NEXT = {"rotate-data-keys": "encrypt"}
