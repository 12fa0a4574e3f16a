"""Commands for encryption at rest: `python -m backend encryption …`.

status             print how much data is clear, or under replaced data keys
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
from backend.chassis.data_encryption.reencryption import Reencryption, Result
from backend.chassis.data_encryption.sealed_data import open_sealed_data
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
    options = parser.parse_args(arguments[1:])
    try:
        return _COMMANDS[options.command](load_env())
    except (SettingsError, CommandError, MasterKeyError) as error:
        sys.stderr.write(f"encryption: {error}\n")
    except SQLAlchemyError as error:
        sys.stderr.write(f"encryption: the database does not respond: {error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. Run `encrypt` again to continue.\n")
        return 130
    return 1


def _print_status(env: Env) -> int:
    rows: list[Sequence[object]] = []
    is_on = False
    for service, reencryption in _open_services(env):
        is_on = True
        rows += [
            (service, counts.name, counts.total, counts.clear, counts.replaced)
            for counts in reencryption.count()
        ]
    if not is_on:
        print_line(_OFF)
        return 0
    print_line(format_table(("service", "data", "total", "clear", "replaced key"), rows))
    return 0


def _encrypt(env: Env) -> int:
    return _convert(env, Reencryption.encrypt, "encrypted")


def _rotate_data_keys(env: Env) -> int:
    for service, reencryption in _open_services(env):
        print_line(f"{service}: new data keys for {reencryption.rotate_data_keys()} tenants")
    return _encrypt(env)


def _rewrap(env: Env) -> int:
    is_on = False
    for service, reencryption in _open_services(env):
        is_on = True
        print_line(f"{service}: {reencryption.rewrap_data_keys()} data keys wrapped again")
    return _check_is_on(is_on)


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
            print_line(f"{self._service}: {done} of {total} in {name}")


_COMMANDS = {
    "status": _print_status,
    "encrypt": _encrypt,
    "rotate-data-keys": _rotate_data_keys,
    "rewrap": _rewrap,
    "decrypt": _decrypt,
}
