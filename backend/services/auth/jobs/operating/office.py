"""What the commands work with: the service's own parts, so that the same rules hold."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.console import say, table
from backend.security import Principal
from backend.services.auth.domain.administration.credentials import Credentials
from backend.services.auth.domain.administration.operator import at_the_command_line, operator
from backend.services.auth.domain.administration.tenants import Tenant, Tenants
from backend.services.auth.domain.administration.users import SeenUser, Users
from backend.services.auth.domain.api_keys import ApiKeys
from backend.services.auth.domain.audit import Origin
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.errors import NoSuchThing

Rows = Sequence[Mapping[str, object]]


class CannotDo(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Office:
    users: Users
    tenants: Tenants
    api_keys: ApiKeys
    credentials: Credentials
    revoker: Revoker
    # Publishes another signing key; from when on it signs. RotationUnderWay where one waits.
    rotate: Callable[[timedelta], datetime]
    now: Callable[[], datetime]
    public_url: str
    as_json: bool = False

    @property
    def who(self) -> Principal:
        return operator()

    @property
    def origin(self) -> Origin:
        return at_the_command_line()

    def user(self, name: str) -> SeenUser:
        try:
            return self.users.named(self.who, name)
        except NoSuchThing:
            raise CannotDo(
                f"No account is called {name!r}, by user name, e-mail address or id. "
                "`python -m backend users list --search TEXT` finds it."
            ) from None

    def tenant(self, name: str) -> Tenant:
        try:
            return self.tenants.named(self.who, name)
        except NoSuchThing:
            raise CannotDo(
                f"No tenant is called {name!r}, by slug or id. "
                "`python -m backend tenants list` shows them all."
            ) from None

    def show(self, rows: Rows, nothing: str) -> None:
        """A table, or JSON for scripts."""
        if self.as_json:
            say(json.dumps(rows, default=_written, ensure_ascii=False, indent=2))
        elif rows:
            heads = [name.replace("_", " ") for name in rows[0]]
            say(table(heads, [[_shown(value) for value in row.values()] for row in rows]))
        else:
            say(nothing)

    def tell(self, sentence: str, fact: Mapping[str, object]) -> None:
        """What was done, in a sentence or as JSON."""
        said = json.dumps(fact, default=_written, ensure_ascii=False, indent=2)
        say(said if self.as_json else sentence)

    def warn_if_untold(self) -> None:
        """What is in the database but not yet where the services look."""
        if self.revoker.is_behind:
            sys.stderr.write(
                "Done, but the Redis-compatible server does not answer: services may take tokens "
                "that ended for as long as those live (ACCESS_TOKEN_SECONDS). "
                "`python -m backend doctor` says more.\n"
            )


def confirm(question: str, *, yes: bool) -> None:
    """CannotDo unless a person at the terminal agrees, or said so beforehand."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CannotDo(f"{question} Say so with --yes.")
    sys.stderr.write(f"{question} Type yes: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise CannotDo("Nothing was changed.")


def _written(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
    return str(value)
