"""`python -m backend users …`: management of accounts."""

import argparse
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from backend.services.auth.domain.accounts import Registration
from backend.services.auth.domain.administration.users import ScopedUser
from backend.services.auth.domain.usernames import normalize_login_name
from backend.services.auth.errors import UnknownRole
from backend.services.auth.jobs.admin_cli.admin_commands import (
    AdminCommands,
    CommandError,
    require_confirmation,
)

_PAGE_SIZE = 200
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
Command = Callable[[AdminCommands, argparse.Namespace], None]
_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_user_commands(subparsers: _Subparsers) -> None:
    """Add the `users` commands to the parser."""
    _add_list_command(subparsers)
    _add_create_command(subparsers)
    for name, command, description in (
        ("show", show_user, "show an account and its tenants"),
        ("disable", disable_user, "disable an account and end its sessions"),
        ("enable", enable_user, "enable a disabled account"),
        ("unlock", unlock_user, "reset the count of failed sign-ins"),
    ):
        _add_user_command(subparsers, name, command, description)
    _add_reset_password_command(subparsers)
    roles_parser = _add_user_command(
        subparsers, "set-roles", set_user_roles, "replace the roles in the account's home tenant"
    )
    roles_parser.add_argument("roles", type=parse_role_name, nargs="+", metavar="ROLE")
    delete_parser = _add_user_command(
        subparsers, "delete", delete_user, "delete an account permanently"
    )
    delete_parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def list_users(admin: AdminCommands, args: argparse.Namespace) -> None:
    rows = [
        {
            "username": user.account.username,
            "email": user.account.email,
            "roles": list(user.membership.roles),
            "disabled": user.account.disabled,
            "last_login_at": user.account.last_login_at,
            "id": user.account.id,
        }
        for user in _iterate_users(admin, args.search)
    ]
    admin.print_rows(
        rows, "No account matches the search." if args.search else "There are no accounts."
    )


def show_user(admin: AdminCommands, args: argparse.Namespace) -> None:
    account = admin.get_user(args.user).account
    result = _to_result(admin.get_user(args.user))
    if admin.as_json:
        admin.print_result("", result)
        return
    admin.print_rows(
        [{"field": name, "value": value} for name, value in result.items() if name != "tenants"], ""
    )
    rows = [
        {"tenant": membership.slug, "name": membership.name, "roles": list(membership.roles)}
        for membership in account.memberships
    ]
    admin.print_rows(rows, "")


def create_user(admin: AdminCommands, args: argparse.Namespace) -> None:
    password, is_generated = _read_or_generate_password(args)
    registration = Registration(args.username, password, args.email, args.display_name)
    user = admin.users.create_user(
        admin.principal, registration, args.role or ["user"], admin.origin
    )
    result = {"password": password} if is_generated else {}
    admin.print_result(
        f"Created {user.account.username} ({', '.join(user.membership.roles)})."
        + _format_password(result),
        _to_result(user) | result,
    )


def disable_user(admin: AdminCommands, args: argparse.Namespace) -> None:
    _update_user(admin, args.user, {"disabled": True}, "is disabled; all sessions have ended")


def enable_user(admin: AdminCommands, args: argparse.Namespace) -> None:
    _update_user(admin, args.user, {"disabled": False}, "can sign in again")


def set_user_roles(admin: AdminCommands, args: argparse.Namespace) -> None:
    _update_user(admin, args.user, {"roles": args.roles}, f"has the roles {', '.join(args.roles)}")


def unlock_user(admin: AdminCommands, args: argparse.Namespace) -> None:
    account = admin.get_user(args.user).account
    admin.users.unlock_user(admin.principal, account.id, admin.origin)
    admin.print_result(f"{account.username} is unlocked and can sign in.", {"id": account.id})


def reset_password(admin: AdminCommands, args: argparse.Namespace) -> None:
    account = admin.get_user(args.user).account
    if args.token:
        token, expires_at = admin.credentials.issue_reset_token(
            admin.principal, account.id, admin.origin
        )
        url = f"{admin.public_url}/auth/password/reset"
        sentence = (
            f"With this one-time token {account.username} can set a new password until "
            f"{expires_at:%H:%M:%S} UTC:\n\n  {token}\n\n"
            f"  {admin.public_url}/console/reset-password#{token}\n"
            f"  curl {url} -H 'Content-Type: application/json' \\\n"
            f'''    -d '{{"token": "{token}", "new_password": "…"}}\''''
        )
        result = {"token": token, "expires_at": expires_at, "url": url}
    else:
        password, is_generated = _read_or_generate_password(args)
        admin.credentials.set_password(admin.principal, account.id, password, admin.origin)
        result = {"password": password} if is_generated else {}
        sentence = f"{account.username} has a new password; all sessions have ended."
        sentence += _format_password(result)
    if args.drop_second_factor:
        admin.credentials.remove_second_factor(admin.principal, account.id, admin.origin)
    if account.disabled:
        sentence += "\nThe account is disabled. Enable it with `python -m backend users enable`."
    admin.print_result(sentence, {"id": account.id, "username": account.username, **result})


def delete_user(admin: AdminCommands, args: argparse.Namespace) -> None:
    account = admin.get_user(args.user).account
    require_confirmation(f"Delete {account.username} permanently?", yes=args.yes)
    admin.users.delete_user(admin.principal, account.id, admin.origin)
    admin.print_result(f"{account.username} is deleted.", {"id": account.id})


def parse_role_name(text: str) -> str:
    """Parse a role name on the command line."""
    if not _ROLE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"invalid role name {text!r}; valid are, for example, viewer, user or admin"
        )
    return text


def _update_user(
    admin: AdminCommands, name: str, fields: Mapping[str, object], result_text: str
) -> None:
    account = admin.get_user(name).account
    try:
        user = admin.users.update_user(admin.principal, account.id, fields, admin.origin)
    except UnknownRole as error:
        raise CommandError(
            f"{error} `GET /auth/roles` lists all roles; viewer, user, tenant_admin and admin are "
            "built in."
        ) from error
    admin.print_result(f"{account.username} {result_text}.", _to_result(user))


def _iterate_users(admin: AdminCommands, text: str | None) -> Iterator[ScopedUser]:
    after = None
    while page := admin.users.search_users(admin.principal, text, after, _PAGE_SIZE):
        yield from page
        after = normalize_login_name(page[-1].account.username)


def _to_result(user: ScopedUser) -> dict[str, object]:
    account = user.account
    return {
        "id": account.id,
        "username": account.username,
        "email": account.email,
        "display_name": account.display_name,
        "roles": list(user.membership.roles),
        "disabled": account.disabled,
        "created_at": account.created_at,
        "last_login_at": account.last_login_at,
        "tenants": [
            {
                "id": membership.tenant_id,
                "slug": membership.slug,
                "name": membership.name,
                "roles": list(membership.roles),
            }
            for membership in account.memberships
        ],
    }


def _read_or_generate_password(args: argparse.Namespace) -> tuple[str, bool]:
    """Return the password from standard input or a generated one, and True if generated."""
    if not args.password_stdin:
        return secrets.token_urlsafe(15), True
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError("Standard input is empty. Write the password to it, on one line.")
    return password, False


def _format_password(result: Mapping[str, object]) -> str:
    """Return the line that shows a generated password."""
    password = result.get("password")
    return f"\nThe password, shown only once: {password}" if password is not None else ""


def _add_password_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )


def _parse_email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"invalid e-mail address {text!r}")
    return text


def _add_list_command(subparsers: _Subparsers) -> None:
    parser = _add_command(subparsers, "list", list_users, "list all accounts, ordered by name")
    parser.add_argument(
        "--search",
        metavar="TEXT",
        help="only accounts whose name, display name or e-mail address contains TEXT",
    )


def _add_create_command(subparsers: _Subparsers) -> None:
    parser = _add_command(
        subparsers, "create", create_user, "create an account; prints a generated password"
    )
    parser.add_argument("username", metavar="NAME")
    parser.add_argument(
        "--role",
        type=parse_role_name,
        action="append",
        metavar="ROLE",
        help="role, repeatable (default: user)",
    )
    parser.add_argument("--email", type=_parse_email)
    parser.add_argument("--display-name", metavar="TEXT")
    _add_password_option(parser)


def _add_reset_password_command(subparsers: _Subparsers) -> None:
    parser = _add_user_command(
        subparsers,
        "reset-password",
        reset_password,
        "set a new password; prints a generated one",
    )
    parser.add_argument(
        "--token",
        action="store_true",
        help="print a one-time token with which the user sets the password",
    )
    parser.add_argument(
        "--drop-second-factor",
        action="store_true",
        help="remove the second factor, if the device and the recovery codes are lost",
    )
    _add_password_option(parser)


def _add_user_command(
    subparsers: _Subparsers, name: str, command: Command, description: str
) -> argparse.ArgumentParser:
    """Add a command whose first argument is an account."""
    parser = _add_command(subparsers, name, command, description)
    parser.add_argument("user", metavar="USER", help="user name, e-mail address or id")
    return parser


def _add_command(
    subparsers: _Subparsers, name: str, command: Command, description: str
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=description, description=description)
    parser.set_defaults(command=command)
    return parser
