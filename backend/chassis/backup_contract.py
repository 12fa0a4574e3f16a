"""What a service keeps beside its tables, as it declares it in its own module `backup`."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec

from sqlalchemy import Connection

from backend.chassis.backup_archive import Member, Packing
from backend.chassis.settings import Env

# Told how far long work is.
Tell = Callable[[str], None]


class Belongings:
    """Nothing. A service that has something overrides what concerns it.

    Members are named after the service: `rag/blobs/…`. A restore hands them over in the order
    in which they were packed, after the rows, in a data folder that is nobody's yet.
    """

    def held(self) -> AbstractContextManager[None]:
        """While this lasts, nothing goes away that the tables name at some moment of it."""
        return nullcontext()

    def pack(self, snapshot: Connection, packing: Packing, tell: Tell) -> list[str]:
        """Add what *snapshot* names; a sentence for each thing that is not as it should be."""
        del snapshot, packing, tell
        return []

    def unpack(self, member: Member) -> None:
        """Take in what was packed; ValueError where it makes no sense."""
        raise ValueError(f"nobody knows {member.name}")

    def settle(self, connection: Connection) -> list[str]:
        """Set right in the restored rows, at the newest revision, what time has passed over.

        *connection* is their owner's. What it cannot set right it tells, in a sentence each.
        """
        del connection
        return []

    def places(self) -> tuple[str, ...]:
        """What of the data folder a restore takes the place of, such as `rag/blobs`."""
        return ()

    def close(self) -> None:
        """Let go of what was opened."""

    def announce(self) -> None:
        """After a restore: tell others who remember what was before. Best effort."""


def open_belongings(service: str, env: Env) -> Belongings:
    """Those of *service*, where *env* says; its module is called `backup`, if it has one."""
    name = f"backend.services.{service}.backup"
    if find_spec(name) is None:
        return Belongings()
    opened: Belongings = import_module(name).open_belongings(env)
    return opened


class Telling:
    """Passes lines on, those about work that goes on every few seconds only."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._next = time.monotonic() + 5.0

    def __call__(self, line: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 5.0
            self._tell(line)
