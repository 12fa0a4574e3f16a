"""`python -m backend tenants …`: management of tenants and their members."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import asdict

from backend.services.auth.domain.administration.tenants import (
    MAX_SLUG_CHARACTERS,
    Member,
    Tenant,
    is_reserved_slug,
)
from backend.services.auth.jobs.admin_cli.admin_commands import AdminCommands, require_confirmation
from backend.services.auth.jobs.admin_cli.users import parse_role_name

_PAGE_SIZE = 200
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def add_tenant_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the `tenants` commands to the parser."""
    list_parser = subparsers.add_parser("list", help="list shared tenants")
    list_parser.add_argument("--personal", action="store_true", help="include personal tenants")
    list_parser.set_defaults(command=list_tenants)
    create_parser = subparsers.add_parser("create", help="create a tenant with an administrator")
    create_parser.add_argument("name", metavar="NAME", type=_parse_name)
    create_parser.add_argument("--admin", required=True, metavar="USER")
    create_parser.add_argument("--slug", type=_parse_slug, help="default: derived from the name")
    create_parser.set_defaults(command=create_tenant)
    rename_parser = _add_tenant_argument(
        subparsers.add_parser("rename", help="change the name, not the slug"), rename_tenant
    )
    rename_parser.add_argument("name", metavar="NAME", type=_parse_name)
    _add_tenant_argument(
        subparsers.add_parser("show", help="show a tenant and its members"), show_tenant
    )
    _add_tenant_argument(subparsers.add_parser("members", help="list the members"), list_members)
    member_parser = _add_tenant_argument(
        subparsers.add_parser("add-member", help="add a member or replace its roles"), add_member
    )
    member_parser.add_argument("user", metavar="USER")
    member_parser.add_argument(
        "--role",
        type=parse_role_name,
        action="append",
        metavar="ROLE",
        help="role, repeatable (default: user)",
    )
    remove_parser = _add_tenant_argument(
        subparsers.add_parser("remove-member", help="remove a member"), remove_member
    )
    remove_parser.add_argument("user", metavar="USER")
    delete_parser = _add_tenant_argument(
        subparsers.add_parser("delete", help="delete a tenant, its roles and its API keys"),
        delete_tenant,
    )
    delete_parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def list_tenants(admin: AdminCommands, args: argparse.Namespace) -> None:
    rows = [
        {
            "slug": tenant.slug,
            "name": tenant.name,
            "personal": tenant.personal,
            "created_at": tenant.created_at,
            "id": tenant.id,
        }
        for tenant in _iterate_tenants(admin)
        if args.personal or not tenant.personal
    ]
    admin.print_rows(
        rows,
        "There are no shared tenants. Create one with `python -m backend tenants create`.",
    )


def create_tenant(admin: AdminCommands, args: argparse.Namespace) -> None:
    administrator = admin.get_user(args.admin).account
    tenant = admin.tenants.create_tenant(
        admin.principal, args.name, args.slug, admin.origin, administrator.id
    )
    admin.print_result(
        f"Created {tenant.slug}; {administrator.username} administers it.", asdict(tenant)
    )


def rename_tenant(admin: AdminCommands, args: argparse.Namespace) -> None:
    tenant = admin.get_tenant(args.tenant)
    tenant = admin.tenants.rename_tenant(admin.principal, tenant.id, args.name, admin.origin)
    admin.print_result(f"The name of {tenant.slug} is now {tenant.name}.", asdict(tenant))


def delete_tenant(admin: AdminCommands, args: argparse.Namespace) -> None:
    tenant = admin.get_tenant(args.tenant)
    require_confirmation(f"Delete the tenant {tenant.slug} permanently?", yes=args.yes)
    admin.tenants.delete_tenant(admin.principal, tenant.id, admin.origin)
    admin.print_result(f"{tenant.slug} is deleted.", {"id": tenant.id})


def show_tenant(admin: AdminCommands, args: argparse.Namespace) -> None:
    tenant = admin.get_tenant(args.tenant)
    if admin.as_json:
        member_results = [asdict(member) for member in _iterate_members(admin, tenant)]
        admin.print_result("", asdict(tenant) | {"members": member_results})
        return
    admin.print_rows(
        [{"field": name, "value": value} for name, value in asdict(tenant).items()], ""
    )
    list_members(admin, args)


def list_members(admin: AdminCommands, args: argparse.Namespace) -> None:
    rows = [
        {
            "username": member.username,
            "roles": member.roles,
            "since": member.since,
            "id": member.user_id,
        }
        for member in _iterate_members(admin, admin.get_tenant(args.tenant))
    ]
    admin.print_rows(
        rows, "The tenant has no members. Add one with `python -m backend tenants add-member`."
    )


def add_member(admin: AdminCommands, args: argparse.Namespace) -> None:
    tenant, user = admin.get_tenant(args.tenant), admin.get_user(args.user).account
    roles = args.role or ["user"]
    member, _ = admin.tenants.put_member(admin.principal, tenant.id, user.id, roles, admin.origin)
    admin.print_result(
        f"{user.username} has the roles {', '.join(member.roles)} in {tenant.slug}.", asdict(member)
    )


def remove_member(admin: AdminCommands, args: argparse.Namespace) -> None:
    tenant, user = admin.get_tenant(args.tenant), admin.get_user(args.user).account
    if user.get_membership(tenant.id) is None:
        admin.print_result(f"{user.username} is not a member of {tenant.slug}.", {"removed": False})
        return
    admin.tenants.remove_member(admin.principal, tenant.id, user.id, admin.origin)
    admin.print_result(f"Removed {user.username} from {tenant.slug}.", {"removed": True})


def _iterate_tenants(admin: AdminCommands) -> Iterator[Tenant]:
    after = None
    while page := admin.tenants.list_tenants(admin.principal, after, _PAGE_SIZE):
        yield from page
        after = page[-1].slug


def _iterate_members(admin: AdminCommands, tenant: Tenant) -> Iterator[Member]:
    after = None
    while page := admin.tenants.list_members(admin.principal, tenant.id, after, _PAGE_SIZE):
        yield from (member for _, member in page)
        after = page[-1][0]


def _parse_name(text: str) -> str:
    if not (text.strip() and text.isprintable() and len(text) <= 200):
        raise argparse.ArgumentTypeError("a name must be one line of at most 200 characters")
    return text


def _parse_slug(text: str) -> str:
    if not (_SLUG.fullmatch(text) and 2 <= len(text) <= MAX_SLUG_CHARACTERS) or is_reserved_slug(
        text
    ):
        raise argparse.ArgumentTypeError(
            f"a slug consists of 2 to {MAX_SLUG_CHARACTERS} of a-z, 0-9 and single '-' between "
            "them, and does not start with u-"
        )
    return text


def _add_tenant_argument(
    parser: argparse.ArgumentParser, command: object
) -> argparse.ArgumentParser:
    parser.add_argument("tenant", metavar="TENANT", help="slug or id")
    parser.set_defaults(command=command)
    return parser
