"""Restore a backup: make everything beside what is there, then let it change places at once.

On PostgreSQL that is one transaction, for files it is the moves of moves.py. Whatever goes wrong
before leaves all as it was.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.backup_archive import Member, refusing_damage
from backend.chassis.backup_contract import Belongings, Tell, Telling, open_belongings
from backend.chassis.console import CannotRun
from backend.chassis.settings import Env
from backend.operations.backup import row_transfer
from backend.operations.backup.installation import (
    Installation,
    connected,
    has_tables,
    reason,
    sqlite_file,
)
from backend.operations.backup.manifest import table_of
from backend.operations.backup.restore_targets import Targets, refuse_in_use
from backend.operations.backup.swap_plan import STAGE, Move, carry_out, decide, give_up, prepare
from backend.operations.backup.verify import Backup, reading
from backend.operations.supervisor.state import sole_supervisor

# What the key-value server remembers of the time before; what matters of it is told anew.
_FORGOTTEN = ("valkey", "announcements")
_DATA = "data"


def restore(installation: Installation, backup: Backup, tell: Tell, *, replaces: bool) -> list[str]:
    """Put *backup* into *installation*; with *replaces*, in place of what is there.

    Returns what somebody has to know, in a sentence each.
    """
    data = installation.data
    with sole_supervisor(data), _telling_of_databases():
        if carry_out(data):
            tell("The restore that was interrupted has come to its end.")
            if not replaces:
                return []
        give_up(data)
        refuse_in_use(installation)
        if not replaces:
            _refuse_full(installation)
        (data / STAGE).mkdir(mode=0o700)
        try:
            with _Restore(installation, backup, tell) as under_way:
                notes = under_way.run()
                prepare(data, under_way.moves())
            decide(data)
        except BaseException:
            give_up(data)
            raise
        carry_out(data)
        for service in backup.services:
            with _belongings(service, installation.env) as opened:
                opened.announce()
    return [*notes, *_changed_secrets(installation, backup)]


class _Restore:
    """One restore, up to the moment from which it can no longer be given up."""

    def __init__(self, installation: Installation, backup: Backup, tell: Tell) -> None:
        self._installation = installation
        self._backup = backup
        self._tell = tell
        self._stage = installation.data / STAGE
        self._stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        # The same settings, with another data folder: what is opened by them lies in it.
        self._env = installation.env.with_values(DATA_DIR=str(self._stage / _DATA))
        self._opened: dict[str, Belongings] = {}
        self._at_the_end = ExitStack()
        self._targets = Targets(self._stamp)

    def __enter__(self) -> "_Restore":
        self._at_the_end.__enter__()
        self._targets = self._at_the_end.enter_context(
            Targets.opened(self._installation, self._backup.services, self._stamp)
        )
        return self

    def __exit__(self, *how: object) -> None:
        # The first of them commits, unless something went wrong.
        self._at_the_end.__exit__(*how)  # type: ignore[arg-type]

    def run(self) -> list[str]:
        with reading(self._backup.file, self._backup.passphrase) as unpacking:
            telling = Telling(self._tell)
            for number, member in enumerate(unpacking.members()):
                self._take(member)
                telling(f"{number} of {self._backup.members} parts: {member.name}")
        notes: list[str] = []
        for service in self._backup.services:
            counts = self._backup.rows_of(service)
            self._targets.finish(service, counts)
            notes += self._belongings(service).settle(self._targets.at(service))
            self._tell(f"{service}: {sum(counts.values())} rows")
        return notes

    @refusing_damage()
    def _take(self, member: Member) -> None:
        if (of := table_of(self._backup.services, member.name)) is not None:
            service, table = of
            row_transfer.load(
                self._targets.at(service), table, row_transfer.parse(table, member.whole())
            )
        elif member.name.startswith("files/"):
            self._keep(member)
        else:
            self._belongings(member.name.partition("/")[0]).unpack(member)

    def _keep(self, member: Member) -> None:
        """A small file of the data folder itself."""
        file = self._stage / _DATA / member.name.removeprefix("files/")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(member.whole())

    def _belongings(self, service: str) -> Belongings:
        """Opened after the secrets are there, which come first."""
        if service not in self._opened:
            self._opened[service] = open_belongings(service, self._env)
            self._at_the_end.callback(self._opened[service].close)
        return self._opened[service]

    def moves(self) -> list[Move]:
        """What is to change places once all is made."""
        data, made = self._installation.data, self._stage / _DATA
        aside = data / f"replaced-{self._stamp}"
        moves = [Move(None, file, aside / file.name) for file in self._leaving()]
        moves += [
            Move(staged, file, aside / file.name) for staged, file in self._targets.files.items()
        ]
        for service in self._backup.services:
            for place in self._belongings(service).places():
                source = made / place if (made / place).exists() else None
                moves.append(Move(source, data / place, aside / place))
        moves += [
            Move(each, data / each.name, aside / each.name)
            for each in sorted(made.glob("*"))
            if each.name not in self._backup.services
        ]
        return moves

    def _leaving(self) -> Iterator[Path]:
        """What is of the time before, whether the backup has something for its place or not."""
        data = self._installation.data
        for name in _FORGOTTEN:
            if (data / name).exists():
                yield data / name
        for file in self._targets.files.values():
            yield from sorted(file.parent.glob(f"{file.name}-*"))
            yield from sorted(file.parent.glob(f"{file.name}.before-*"))


def _refuse_full(installation: Installation) -> None:
    for service, url in installation.urls.items():
        file = sqlite_file(url)
        if file is None or file.is_file():
            with connected(url, service) as connection:
                if has_tables(connection, service):
                    raise CannotRun(
                        f"There are tables of {service} already. Restore into an empty DATA_DIR "
                        "and database; or add --replace, which sets aside what is there."
                    )


def _changed_secrets(installation: Installation, backup: Backup) -> Iterator[str]:
    now: Mapping[str, str | None] = installation.fingerprints()
    for name, before in backup.head["secrets"].items():
        if before is not None and now.get(name) != before:
            yield (
                f"{name} is another one than when the backup was taken. Set the one from then, or "
                "see docs/operations/key-rotation.md for what cannot be read without it."
            )


@contextmanager
def _belongings(service: str, env: Env) -> Iterator[Belongings]:
    opened = open_belongings(service, env)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def _telling_of_databases() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise CannotRun(f"The database refused: {reason(error)}. Nothing was changed.") from error
