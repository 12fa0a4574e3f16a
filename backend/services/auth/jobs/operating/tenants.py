"""`python -m backend tenants …`: tenants and their members."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import asdict

from backend.services.auth.domain.administration.tenants import (
    MAX_SLUG,
    Member,
    Tenant,
    is_reserved,
)
from backend.services.auth.jobs.operating.office import Office
from backend.services.auth.jobs.operating.users import role

_PAGE = 200
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def add_words(words: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Everything that can be done to tenants."""
    listing = words.add_parser("list", help="shared tenants; with --personal, all")
    listing.add_argument("--personal", action="store_true", help="also those of one user alone")
    listing.set_defaults(command=list_all)
    creating = words.add_parser("create", help="open a tenant with an administrator of its own")
    creating.add_argument("name", metavar="NAME", type=_line)
    creating.add_argument("--admin", required=True, metavar="USER")
    creating.add_argument("--slug", type=_slug, help="made of the name unless given")
    creating.set_defaults(command=create)
    renaming = _named(words.add_parser("rename", help="another name; the slug stays"), rename)
    renaming.add_argument("name", metavar="NAME", type=_line)
    _named(words.add_parser("show", help="one tenant with its members"), show)
    _named(words.add_parser("members", help="who belongs to it"), members)
    adding = _named(words.add_parser("add-member", help="take in, or give other roles"), add_member)
    adding.add_argument("user", metavar="USER")
    adding.add_argument("--role", type=role, action="append", metavar="ROLE", help="user")
    removing = _named(words.add_parser("remove-member", help="take a user out"), remove_member)
    removing.add_argument("user", metavar="USER")


def list_all(office: Office, asked: argparse.Namespace) -> None:
    wanted = [each for each in _all(office) if asked.personal or not each.personal]
    rows = [
        {
            "slug": each.slug,
            "name": each.name,
            "personal": each.personal,
            "created_at": each.created_at,
            "id": each.id,
        }
        for each in wanted
    ]
    office.show(rows, "No shared tenants yet: `python -m backend tenants create` opens one.")


def create(office: Office, asked: argparse.Namespace) -> None:
    head = office.user(asked.admin).account
    tenant = office.tenants.found(office.who, asked.name, asked.slug, office.origin, head.id)
    office.tell(f"Made {tenant.slug}; {head.username} administers it.", asdict(tenant))


def rename(office: Office, asked: argparse.Namespace) -> None:
    tenant = office.tenant(asked.tenant)
    renamed = office.tenants.rename(office.who, tenant.id, asked.name, office.origin)
    office.tell(f"{renamed.slug} is called {renamed.name} now.", asdict(renamed))


def show(office: Office, asked: argparse.Namespace) -> None:
    tenant = office.tenant(asked.tenant)
    if office.as_json:
        belong = [asdict(each) for each in _members(office, tenant)]
        office.tell("", asdict(tenant) | {"members": belong})
        return
    office.show([{"of": name, "is": value} for name, value in asdict(tenant).items()], "")
    members(office, asked)


def members(office: Office, asked: argparse.Namespace) -> None:
    rows = [
        {"username": each.username, "roles": each.roles, "since": each.since, "id": each.user_id}
        for each in _members(office, office.tenant(asked.tenant))
    ]
    office.show(rows, "Nobody belongs to it: `python -m backend tenants add-member` takes in.")


def add_member(office: Office, asked: argparse.Namespace) -> None:
    tenant, user = office.tenant(asked.tenant), office.user(asked.user).account
    roles = asked.role or ["user"]
    member, _ = office.tenants.put_member(office.who, tenant.id, user.id, roles, office.origin)
    office.tell(f"{user.username} is {', '.join(member.roles)} in {tenant.slug}.", asdict(member))


def remove_member(office: Office, asked: argparse.Namespace) -> None:
    tenant, user = office.tenant(asked.tenant), office.user(asked.user).account
    if user.membership(tenant.id) is None:
        office.tell(f"{user.username} is no member of {tenant.slug}.", {"removed": False})
        return
    office.tenants.remove_member(office.who, tenant.id, user.id, office.origin)
    office.tell(f"{user.username} is out of {tenant.slug}.", {"removed": True})


def _all(office: Office) -> Iterator[Tenant]:
    after = None
    while page := office.tenants.within_reach(office.who, after, _PAGE):
        yield from page
        after = page[-1].slug


def _members(office: Office, tenant: Tenant) -> Iterator[Member]:
    after = None
    while page := office.tenants.members(office.who, tenant.id, after, _PAGE):
        yield from (member for _, member in page)
        after = page[-1][0]


def _line(text: str) -> str:
    if not (text.strip() and text.isprintable() and len(text) <= 200):
        raise argparse.ArgumentTypeError("a name is one line of up to 200 characters")
    return text


def _slug(text: str) -> str:
    if not (_SLUG.fullmatch(text) and 2 <= len(text) <= MAX_SLUG) or is_reserved(text):
        raise argparse.ArgumentTypeError(
            f"a slug is 2 to {MAX_SLUG} of a-z, 0-9 and '-' between them, not beginning with u-"
        )
    return text


def _named(parser: argparse.ArgumentParser, command: object) -> argparse.ArgumentParser:
    parser.add_argument("tenant", metavar="TENANT", help="slug or id")
    parser.set_defaults(command=command)
    return parser
