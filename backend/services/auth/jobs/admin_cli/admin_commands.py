"""Services and output functions that the administration commands use.

The commands call the domain services, so that the same rules apply as over HTTP.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.console import format_table, print_line
from backend.security import Principal
from backend.services.auth.domain.administration.credentials import CredentialService
from backend.services.auth.domain.administration.operator import (
    get_command_line_origin,
    get_operator_principal,
)
from backend.services.auth.domain.administration.tenants import Tenant, TenantService
from backend.services.auth.domain.administration.users import ScopedUser, UserService
from backend.services.auth.domain.audit import RequestOrigin
from backend.services.auth.domain.credentials.api_keys import ApiKeyService
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import ResourceNotFound

Rows = Sequence[Mapping[str, object]]


class CommandError(Exception):
    """A command failed. The message gives the reason and how to fix it."""


@dataclass(frozen=True, slots=True)
class AdminCommands:
    """Domain services and output functions of the administration commands.

    Attributes:
        rotate_signing_key: publishes a new signing key that starts to sign after the given delay,
            and returns the time of its first signature; raises RotationPending.
        as_json: print results as JSON.
    """

    users: UserService
    tenants: TenantService
    api_keys: ApiKeyService
    credentials: CredentialService
    publisher: RevocationPublisher
    rotate_signing_key: Callable[[timedelta], datetime]
    now: Callable[[], datetime]
    public_url: str
    as_json: bool = False

    @property
    def principal(self) -> Principal:
        return get_operator_principal()

    @property
    def origin(self) -> RequestOrigin:
        return get_command_line_origin()

    def get_user(self, name: str) -> ScopedUser:
        try:
            return self.users.get_user_by_name(self.principal, name)
        except ResourceNotFound:
            raise CommandError(
                f"No account has the user name, e-mail address or id {name!r}. "
                "Find it with `python -m backend users list --search TEXT`."
            ) from None

    def get_tenant(self, name: str) -> Tenant:
        try:
            return self.tenants.get_tenant_by_name(self.principal, name)
        except ResourceNotFound:
            raise CommandError(
                f"No tenant has the slug or id {name!r}. "
                "List all tenants with `python -m backend tenants list --personal`."
            ) from None

    def print_rows(self, rows: Rows, empty_message: str) -> None:
        """Print *rows* as a table or JSON; print *empty_message* instead of an empty table."""
        if self.as_json:
            print_line(json.dumps(rows, default=_to_json_value, ensure_ascii=False, indent=2))
        elif rows:
            headers = [name.replace("_", " ") for name in rows[0]]
            print_line(
                format_table(
                    headers, [[_format_value(value) for value in row.values()] for row in rows]
                )
            )
        else:
            print_line(empty_message)

    def print_result(self, sentence: str, result: Mapping[str, object]) -> None:
        """Print the result of a command: *sentence*, or *result* as JSON."""
        text = json.dumps(result, default=_to_json_value, ensure_ascii=False, indent=2)
        print_line(text if self.as_json else sentence)

    def warn_if_unpublished(self) -> None:
        """Print a warning if a revocation could not be published to Redis."""
        if self.publisher.has_unpublished:
            sys.stderr.write(
                "Done, but Redis does not respond, so the services were not notified. They reject "
                "requests meanwhile, except that a session which was used in the last 30 seconds "
                "may read. Auth notifies them within 5 seconds after Redis responds again. Run "
                "`python -m backend doctor` to find the cause.\n"
            )


def require_confirmation(question: str, *, yes: bool) -> None:
    """Raise CommandError unless the user confirms at the terminal or passed `--yes`."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Confirm with --yes.")
    sys.stderr.write(f"{question} Type yes: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise CommandError("Nothing was changed.")


def _to_json_value(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _format_value(value: object) -> str:
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
