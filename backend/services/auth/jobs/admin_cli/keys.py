"""`python -m backend keys …`: management of API keys and of the access token signing key."""

import argparse
from dataclasses import replace
from datetime import timedelta

from backend.security import Permission, Principal
from backend.services.auth.domain.accounts import Account
from backend.services.auth.domain.credentials.api_keys import ApiKey
from backend.services.auth.domain.signing_keys import PUBLISH_LEAD_TIME
from backend.services.auth.errors import PermissionDenied, ResourceNotFound
from backend.services.auth.jobs.admin_cli.admin_commands import AdminCommands, CommandError

_MIN_WAIT_SECONDS = 15


def add_key_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the `keys` commands to the parser."""
    list_parser = subparsers.add_parser("list", help="list API keys, newest first")
    list_parser.add_argument("--user", metavar="USER", help="only keys of this user")
    list_parser.set_defaults(command=list_keys)
    create_parser = subparsers.add_parser(
        "create", help="create an API key for a user; it is shown once"
    )
    create_parser.add_argument("user", metavar="USER")
    create_parser.add_argument("name", metavar="NAME", help="purpose of the key")
    create_parser.add_argument("--tenant", help="slug or id (default: the user's home tenant)")
    create_parser.add_argument(
        "--permissions",
        metavar="A,B",
        help=f"any of {', '.join(Permission)} (default: all permissions of the user)",
    )
    create_parser.add_argument(
        "--days", type=int, metavar="N", help="lifetime in days (default: unlimited)"
    )
    create_parser.set_defaults(command=create_key)
    revoke_parser = subparsers.add_parser(
        "revoke", help="revoke an API key, the keys created with it and every token issued for them"
    )
    revoke_parser.add_argument("key", metavar="KEY", help="id or prefix, as shown by `list`")
    revoke_parser.set_defaults(command=revoke_key)
    rotate_parser = subparsers.add_parser(
        "rotate", help="publish a new access token signing key, which signs after a delay"
    )
    rotate_parser.add_argument(
        "--wait-seconds",
        type=int,
        default=int(PUBLISH_LEAD_TIME.total_seconds()),
        metavar="N",
        help=(
            "seconds between publication and first signature "
            f"(default: 600, minimum: {_MIN_WAIT_SECONDS})"
        ),
    )
    rotate_parser.set_defaults(command=rotate_signing_key)


def list_keys(admin: AdminCommands, args: argparse.Namespace) -> None:
    user = admin.get_user(args.user).account if args.user else None
    keys_by_owner = admin.api_keys.list_all_keys(user.id if user else None)
    usernames = {user_id: admin.get_user(user_id).account.username for user_id, _ in keys_by_owner}
    rows = [_to_result(key) | {"user": usernames[user_id]} for user_id, key in keys_by_owner]
    admin.print_rows(rows, "There are no API keys.")


def create_key(admin: AdminCommands, args: argparse.Namespace) -> None:
    account = admin.get_user(args.user).account
    owner = _get_owner_principal(admin, account, args.tenant)
    expires_at = admin.now() + timedelta(days=args.days) if args.days is not None else None
    try:
        key, text = admin.api_keys.create_key(
            owner,
            args.name,
            _parse_permissions(args.permissions),
            expires_at,
            admin.origin,
            admin.principal.user_id,
        )
    except PermissionDenied:
        available = ", ".join(sorted(owner.permissions)) or "none"
        raise CommandError(
            "A key can have no more permissions than its owner. Permissions of "
            f"{account.username} in this tenant: {available}. "
            "Change them with `python -m backend users set-roles`."
        ) from None
    admin.print_result(
        f"The key, shown only once: {text}\nPermissions: {', '.join(sorted(key.permissions))}.",
        _to_result(key) | {"key": text},
    )


def _parse_permissions(text: str | None) -> set[str] | None:
    """Return the permissions in the comma-separated *text*, or None if there is none."""
    if not text:
        return None
    permissions = set(text.split(","))
    if unknown := permissions - set(Permission):
        raise CommandError(
            f"Unknown permission {min(unknown)!r}. Permissions are {', '.join(Permission)}."
        )
    return permissions


def revoke_key(admin: AdminCommands, args: argparse.Namespace) -> None:
    keys_by_owner = [
        key for _, key in admin.api_keys.list_all_keys(None) if args.key in (key.id, key.prefix)
    ]
    if len(keys_by_owner) != 1:
        raise CommandError(
            f"{'Several keys start with' if keys_by_owner else 'No key has the id or prefix'} "
            f"{args.key!r}. Use an id shown by `python -m backend keys list`."
        )
    try:
        admin.api_keys.revoke_key(admin.principal.user_id, keys_by_owner[0].id, admin.origin)
    except ResourceNotFound:
        raise CommandError("The key was revoked by another request.") from None
    admin.print_result(
        f"The key {keys_by_owner[0].name!r} is revoked.", {"id": keys_by_owner[0].id}
    )


def rotate_signing_key(admin: AdminCommands, args: argparse.Namespace) -> None:
    signs_from = admin.rotate_signing_key(
        timedelta(seconds=max(args.wait_seconds, _MIN_WAIT_SECONDS))
    )
    admin.print_result(
        f"A new key is published and signs from {signs_from:%Y-%m-%d %H:%M:%S} UTC on. "
        "The previous key is withdrawn when its last token has expired.",
        {"signs_from": signs_from},
    )


def _get_owner_principal(admin: AdminCommands, account: Account, tenant: str | None) -> Principal:
    """Return the principal of the account in *tenant*, by default its home tenant."""
    membership = (
        account.default_membership
        if tenant is None
        else account.get_membership(admin.get_tenant(tenant).id)
    )
    if membership is None:
        raise CommandError(
            f"{account.username} is not a member of {tenant}. Add the user with "
            f"`python -m backend tenants add-member {tenant} {account.username}`."
        )
    return replace(
        admin.principal,
        user_id=account.id,
        tenant_id=membership.tenant_id,
        permissions=frozenset(map(str, membership.permissions)),
    )


def _to_result(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "begins": key.prefix,
        "permissions": sorted(key.permissions),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "id": key.id,
    }
