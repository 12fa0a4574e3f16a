"""`python -m backend keys …`: API keys, and the key that signs access tokens."""

import argparse
from dataclasses import replace
from datetime import timedelta

from backend.security import Permission, Principal
from backend.services.auth.domain.accounts import Account
from backend.services.auth.domain.api_keys import ApiKey
from backend.services.auth.domain.keys import PUBLISHED_BEFORE
from backend.services.auth.errors import NoSuchThing, PermissionDenied
from backend.services.auth.jobs.operating.office import CannotDo, Office

_LEAST_WAIT_SECONDS = 15


def add_words(words: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Everything that can be done to keys."""
    listing = words.add_parser("list", help="API keys, the newest first")
    listing.add_argument("--user", metavar="USER", help="those of one user")
    listing.set_defaults(command=list_all)
    creating = words.add_parser("create", help="a key that acts for a user, shown once")
    creating.add_argument("user", metavar="USER")
    creating.add_argument("name", metavar="NAME", help="what it is for")
    creating.add_argument("--tenant", help="slug or id; the user's own unless given")
    creating.add_argument(
        "--permissions",
        metavar="A,B",
        help=f"of {', '.join(Permission)}; all that the user has unless given",
    )
    creating.add_argument("--days", type=int, metavar="N", help="how long it is good; for ever")
    creating.set_defaults(command=create)
    revoking = words.add_parser("revoke", help="end a key and every token made from it")
    revoking.add_argument("key", metavar="KEY", help="its id, or its beginning as `list` shows it")
    revoking.set_defaults(command=revoke)
    rotating = words.add_parser(
        "rotate", help="publish another key that signs access tokens, and sign with it later"
    )
    rotating.add_argument(
        "--wait-seconds",
        type=int,
        default=int(PUBLISHED_BEFORE.total_seconds()),
        metavar="N",
        help=f"how long it is published before it signs (600; at least {_LEAST_WAIT_SECONDS})",
    )
    rotating.set_defaults(command=rotate)


def list_all(office: Office, asked: argparse.Namespace) -> None:
    user = office.user(asked.user).account if asked.user else None
    found = office.api_keys.of_everyone(user.id if user else None)
    names = {user_id: office.user(user_id).account.username for user_id, _ in found}
    rows = [_facts(key) | {"user": names[user_id]} for user_id, key in found]
    office.show(rows, "No API keys.")


def create(office: Office, asked: argparse.Namespace) -> None:
    account = office.user(asked.user).account
    owner = _principal(office, account, asked.tenant)
    wanted = set(asked.permissions.split(",")) if asked.permissions else None
    if wanted and (unknown := wanted - set(Permission)):
        raise CannotDo(f"{min(unknown)!r} is no permission; there are {', '.join(Permission)}.")
    until = office.now() + timedelta(days=asked.days) if asked.days is not None else None
    try:
        key, text = office.api_keys.create(
            owner, asked.name, wanted, until, office.origin, office.who.user_id
        )
    except PermissionDenied:
        has = ", ".join(sorted(owner.permissions)) or "nothing"
        raise CannotDo(
            f"A key may do no more than its owner; {account.username} may there: {has}. "
            "`python -m backend users set-roles` gives more."
        ) from None
    office.tell(
        f"The key, shown this once: {text}\nIt may: {', '.join(sorted(key.permissions))}.",
        _facts(key) | {"key": text},
    )


def revoke(office: Office, asked: argparse.Namespace) -> None:
    found = [
        key for _, key in office.api_keys.of_everyone(None) if asked.key in (key.id, key.prefix)
    ]
    if len(found) != 1:
        raise CannotDo(
            f"{'Several keys begin' if found else 'No key is known'} as {asked.key!r}: "
            "take the id that `python -m backend keys list` shows."
        )
    try:
        office.api_keys.revoke(office.who.user_id, found[0].id, office.origin)
    except NoSuchThing:
        raise CannotDo("Somebody else has just ended this key.") from None
    office.tell(f"The key {found[0].name!r} has ended.", {"id": found[0].id})


def rotate(office: Office, asked: argparse.Namespace) -> None:
    begins = office.rotate(timedelta(seconds=max(asked.wait_seconds, _LEAST_WAIT_SECONDS)))
    office.tell(
        f"Another key is published and signs from {begins:%Y-%m-%d %H:%M:%S} UTC on. "
        "The one before it is withdrawn when its last token has expired.",
        {"signs_from": begins},
    )


def _principal(office: Office, account: Account, tenant: str | None) -> Principal:
    """The account as it would act in the tenant, its own unless another is named."""
    place = account.default if tenant is None else account.membership(office.tenant(tenant).id)
    if place is None:
        raise CannotDo(
            f"{account.username} is no member of {tenant}; "
            f"`python -m backend tenants add-member {tenant} {account.username}` takes them in."
        )
    return replace(
        office.who,
        user_id=account.id,
        tenant_id=place.tenant_id,
        permissions=frozenset(map(str, place.permissions)),
    )


def _facts(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "begins": key.prefix,
        "permissions": sorted(key.permissions),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "id": key.id,
    }
