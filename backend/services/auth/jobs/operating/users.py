"""`python -m backend users …`: accounts."""

import argparse
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping

from backend.services.auth.domain.accounts import Newcomer
from backend.services.auth.domain.administration.users import SeenUser
from backend.services.auth.domain.usernames import name_key
from backend.services.auth.errors import UnknownRole
from backend.services.auth.jobs.operating.office import CannotDo, Office, confirm

_PAGE = 200
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
Command = Callable[[Office, argparse.Namespace], None]


def add_words(words: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Everything that can be done to accounts."""
    listing = _word(words, "list", list_all, "every account, by name")
    listing.add_argument("--search", metavar="TEXT", help="whose name or e-mail address holds it")
    creating = _word(words, "create", create, "open an account; a password is made up and shown")
    creating.add_argument("username", metavar="NAME")
    creating.add_argument("--role", type=role, action="append", metavar="ROLE", help="user")
    creating.add_argument("--email", type=_email)
    creating.add_argument("--display-name", metavar="TEXT")
    _take_password(creating)
    for word, command, does in (
        ("show", show, "one account with its tenants"),
        ("disable", disable, "shut it out and end its sessions"),
        ("enable", enable, "let it in again"),
        ("unlock", unlock, "forgive failed sign-ins"),
    ):
        _named(_word(words, word, command, does))
    resetting = _named(
        _word(words, "reset-password", reset_password, "another password, made up and shown")
    )
    resetting.add_argument(
        "--token", action="store_true", help="a token with which the user sets one, once"
    )
    resetting.add_argument(
        "--drop-second-factor", action="store_true", help="for who lost the device and the codes"
    )
    _take_password(resetting)
    giving = _named(_word(words, "set-roles", set_roles, "exactly these roles in its own tenant"))
    giving.add_argument("roles", type=role, nargs="+", metavar="ROLE")
    deleting = _named(_word(words, "delete", delete, "for good; disabling can be undone"))
    deleting.add_argument("--yes", action="store_true", help="do not ask")


def list_all(office: Office, asked: argparse.Namespace) -> None:
    rows = [
        {
            "username": seen.account.username,
            "email": seen.account.email,
            "roles": list(seen.at_hand.roles),
            "disabled": seen.account.disabled,
            "last_login_at": seen.account.last_login_at,
            "id": seen.account.id,
        }
        for seen in _all(office, asked.search)
    ]
    office.show(rows, "No account is called like that." if asked.search else "No accounts yet.")


def show(office: Office, asked: argparse.Namespace) -> None:
    account = office.user(asked.user).account
    facts = _facts(office.user(asked.user))
    if office.as_json:
        office.tell("", facts)
        return
    office.show(
        [{"of": name, "is": value} for name, value in facts.items() if name != "tenants"], ""
    )
    rows = [
        {"tenant": each.slug, "name": each.name, "roles": list(each.roles)}
        for each in account.memberships
    ]
    office.show(rows, "")


def create(office: Office, asked: argparse.Namespace) -> None:
    password, made_up = _password(asked)
    newcomer = Newcomer(asked.username, password, asked.email, asked.display_name)
    seen = office.users.create(office.who, newcomer, asked.role or ["user"], office.origin)
    told = {"password": password} if made_up else {}
    office.tell(
        f"Made {seen.account.username} ({', '.join(seen.at_hand.roles)})." + _shown_once(told),
        _facts(seen) | told,
    )


def disable(office: Office, asked: argparse.Namespace) -> None:
    _change(office, asked.user, {"disabled": True}, "is disabled; its sessions have ended")


def enable(office: Office, asked: argparse.Namespace) -> None:
    _change(office, asked.user, {"disabled": False}, "may sign in again")


def set_roles(office: Office, asked: argparse.Namespace) -> None:
    _change(office, asked.user, {"roles": asked.roles}, f"is {', '.join(asked.roles)} from now on")


def unlock(office: Office, asked: argparse.Namespace) -> None:
    account = office.user(asked.user).account
    office.users.unlock(office.who, account.id, office.origin)
    office.tell(f"{account.username} may try again at once.", {"id": account.id})


def reset_password(office: Office, asked: argparse.Namespace) -> None:
    account = office.user(asked.user).account
    if asked.token:
        token, until = office.credentials.one_time_token(office.who, account.id, office.origin)
        url = f"{office.public_url}/auth/password/reset"
        sentence = (
            f"With this token {account.username} sets another password, once, until "
            f"{until:%H:%M:%S} UTC:\n\n  {token}\n\n"
            f"  curl {url} -H 'Content-Type: application/json' \\\n"
            f'''    -d '{{"token": "{token}", "new_password": "…"}}\''''
        )
        fact = {"token": token, "expires_at": until, "url": url}
    else:
        password, made_up = _password(asked)
        office.credentials.set_password(office.who, account.id, password, office.origin)
        fact = {"password": password} if made_up else {}
        sentence = f"{account.username} has another password; all sessions have ended."
        sentence += _shown_once(fact)
    if asked.drop_second_factor:
        office.credentials.drop_second_factor(office.who, account.id, office.origin)
    if account.disabled:
        sentence += "\nThe account is disabled: `python -m backend users enable` lets it in again."
    office.tell(sentence, {"id": account.id, "username": account.username, **fact})


def delete(office: Office, asked: argparse.Namespace) -> None:
    account = office.user(asked.user).account
    confirm(f"Delete {account.username} for good?", yes=asked.yes)
    office.users.delete(office.who, account.id, office.origin)
    office.tell(f"{account.username} is deleted.", {"id": account.id})


def role(text: str) -> str:
    """The name of a role, as an argument."""
    if not _ROLE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no role, such as viewer, user or admin")
    return text


def _change(office: Office, name: str, fields: Mapping[str, object], so_that: str) -> None:
    account = office.user(name).account
    try:
        seen = office.users.change(office.who, account.id, fields, office.origin)
    except UnknownRole as error:
        raise CannotDo(
            f"{error} `GET /auth/roles` lists them; viewer, user, tenant_admin and admin are "
            "built in."
        ) from error
    office.tell(f"{account.username} {so_that}.", _facts(seen))


def _all(office: Office, text: str | None) -> Iterator[SeenUser]:
    after = None
    while page := office.users.search(office.who, text, after, _PAGE):
        yield from page
        after = name_key(page[-1].account.username)


def _facts(seen: SeenUser) -> dict[str, object]:
    account = seen.account
    return {
        "id": account.id,
        "username": account.username,
        "email": account.email,
        "display_name": account.display_name,
        "roles": list(seen.at_hand.roles),
        "disabled": account.disabled,
        "created_at": account.created_at,
        "last_login_at": account.last_login_at,
        "tenants": [
            {"id": each.tenant_id, "slug": each.slug, "name": each.name, "roles": list(each.roles)}
            for each in account.memberships
        ],
    }


def _password(asked: argparse.Namespace) -> tuple[str, bool]:
    """From the standard input where that was asked for, else made up; and whether it is that."""
    if not asked.password_stdin:
        return secrets.token_urlsafe(15), True
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CannotDo("The standard input holds no password: write it there, on one line.")
    return password, False


def _shown_once(told: Mapping[str, object]) -> str:
    return f"\nThe password, shown this once: {told['password']}" if "password" in told else ""


def _take_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-stdin", action="store_true", help="take the password from the standard input"
    )


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no e-mail address")
    return text


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("user", metavar="USER", help="user name, e-mail address or id")
    return parser


def _word(
    words: "argparse._SubParsersAction[argparse.ArgumentParser]",
    word: str,
    command: Command,
    does: str,
) -> argparse.ArgumentParser:
    parser = words.add_parser(word, help=does, description=does)
    parser.set_defaults(command=command)
    return parser
