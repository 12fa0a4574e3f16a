"""What somebody gets who signed in: the session and the account as JSON, the token signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask, g
from flask_jwt_extended import JWTManager, create_access_token
from pydantic import BaseModel

from backend.chassis.web.app_factory import provide, use
from backend.security.tokens import ALGORITHM, MAX_TOKEN_BYTES, TOKEN_TYPE
from backend.services.auth.domain.accounts import Account, Membership
from backend.services.auth.domain.keys import SigningKeys
from backend.services.auth.domain.sessions import SignedIn
from backend.services.auth.routes.shapes import User, user_shape


class Tokens(BaseModel):
    """An access token for a few minutes and a refresh token for the next one."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int


class SignedInUser(Tokens):
    """The user, and the tokens of the session that was opened."""

    user: User


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """How access tokens are signed here."""

    keys: SigningKeys
    lifetime: timedelta


def install_issuer(
    app: Flask, keys: SigningKeys, issuer: str, audience: str, lifetime: timedelta
) -> None:
    """Let *app* sign access tokens with *keys*."""
    app.config.update(
        JWT_ALGORITHM=ALGORITHM,
        JWT_ENCODE_ISSUER=issuer,
        JWT_ENCODE_AUDIENCE=audience,
        JWT_ACCESS_TOKEN_EXPIRES=lifetime,
        # Its `csrf` claim is for tokens in cookies.
        JWT_COOKIE_CSRF_PROTECT=False,
    )
    JWTManager(app).encode_key_loader(lambda _: g.signing_key.private)
    provide(app, AccessTokens(keys, lifetime))


def tokens_of(signed_in: SignedIn) -> Tokens:
    return Tokens(**_tokens(signed_in))


def signed_in_user(signed_in: SignedIn) -> SignedInUser:
    account = signed_in.account
    return SignedInUser(user=user_shape(account, account.default), **_tokens(signed_in))


def _tokens(signed_in: SignedIn) -> dict[str, Any]:
    return {
        "access_token": access_token(signed_in.account, signed_in.session_id),
        "refresh_token": signed_in.refresh_token,
        "expires_in": int(use(AccessTokens).lifetime.total_seconds()),
    }


def access_token(account: Account, session_id: str, lifetime: timedelta | None = None) -> str:
    """A token for *account* in all its tenants, or as many as fit into one token."""
    default, others = account.default, account.memberships[1:]
    while True:
        token = _signed(account, session_id, default, others, lifetime)
        if len(token) <= MAX_TOKEN_BYTES or not others:
            return token
        # Who is a member of very many tenants reaches the newest ones by making
        # one of them the default.
        others = others[: len(others) * 3 // 4]


def _signed(
    account: Account,
    session_id: str,
    default: Membership,
    others: Sequence[Membership],
    lifetime: timedelta | None,
) -> str:
    claims: dict[str, object] = {
        "sid": session_id,
        "gen": account.generation,
        "tid": default.tenant_id,
        "tslug": default.slug,
        "tgen": default.generation,
        "scope": _scope(default),
    }
    if others:
        claims["tenants"] = [
            [each.tenant_id, each.slug, each.generation, _scope(each)] for each in others
        ]
    # One key for the header and the signature: another may take over in between.
    g.signing_key = use(AccessTokens).keys.current
    token: str = create_access_token(
        identity=account.id,
        expires_delta=lifetime,
        additional_claims=claims,
        additional_headers={"typ": TOKEN_TYPE, "kid": g.signing_key.kid},
    )
    return token


def _scope(membership: Membership) -> str:
    return " ".join(sorted(membership.permissions))
