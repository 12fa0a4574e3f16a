"""Issuing of access tokens (RFC 9068) and the token responses."""

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
from backend.services.auth.domain.sessions import SignInResult
from backend.services.auth.domain.signing_keys import SigningKeys
from backend.services.auth.routes.schemas import UserResponse, to_user_response
from backend.services.auth.routes.sign_in_methods import list_sign_in_methods


class TokenResponse(BaseModel):
    """A short-lived access token, and the refresh token for the next one."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int


class SignInResponse(TokenResponse):
    """The user and the tokens of a new session."""

    user: UserResponse


@dataclass(frozen=True, slots=True)
class AccessTokenIssuer:
    """Signing keys and lifetime of access tokens."""

    keys: SigningKeys
    lifetime: timedelta


def register_token_issuer(
    app: Flask, keys: SigningKeys, issuer: str, audience: str, lifetime: timedelta
) -> None:
    """Configure *app* to sign access tokens with *keys*."""
    app.config.update(
        JWT_ALGORITHM=ALGORITHM,
        JWT_ENCODE_ISSUER=issuer,
        JWT_ENCODE_AUDIENCE=audience,
        JWT_ACCESS_TOKEN_EXPIRES=lifetime,
        # The `csrf` claim is only needed for tokens in cookies.
        JWT_COOKIE_CSRF_PROTECT=False,
    )
    JWTManager(app).encode_key_loader(lambda _: g.signing_key.private_key)
    provide(app, AccessTokenIssuer(keys, lifetime))


def to_token_response(signed_in: SignInResult, selected: Membership | None = None) -> TokenResponse:
    """Return new tokens. Requests without X-Tenant-ID act in *selected*, or the default tenant."""
    return TokenResponse(**_to_token_fields(signed_in, selected))


def to_sign_in_response(signed_in: SignInResult) -> SignInResponse:
    account = signed_in.account
    return SignInResponse(
        user=to_user_response(account, account.default_membership, list_sign_in_methods(account)),
        **_to_token_fields(signed_in),
    )


def _to_token_fields(signed_in: SignInResult, selected: Membership | None = None) -> dict[str, Any]:
    return {
        "access_token": create_user_access_token(
            signed_in.account, signed_in.session_id, selected=selected
        ),
        "refresh_token": signed_in.refresh_token,
        "expires_in": int(use(AccessTokenIssuer).lifetime.total_seconds()),
    }


def create_user_access_token(
    account: Account,
    session_id: str,
    lifetime: timedelta | None = None,
    *,
    actor: str | None = None,
    selected: Membership | None = None,
) -> str:
    """Return an access token for *account* in all its tenants.

    If the token would exceed `MAX_TOKEN_BYTES`, the last memberships are left out.

    Args:
        lifetime: None for the configured lifetime.
        actor: the service that acts for the account, if any.
        selected: membership in the tenant of requests that select none, if it is not the default.
    """
    default = selected or account.default_membership
    others = [item for item in account.memberships if item.tenant_id != default.tenant_id]
    while True:
        token = _encode_token(account, session_id, default, others, lifetime, actor)
        if len(token) <= MAX_TOKEN_BYTES or not others:
            return token
        # A member of very many tenants can reach the omitted, newest ones by making one of
        # them the default tenant.
        others = others[: len(others) * 3 // 4]


def _encode_token(
    account: Account,
    session_id: str,
    default: Membership,
    others: Sequence[Membership],
    lifetime: timedelta | None,
    actor: str | None,
) -> str:
    claims: dict[str, object] = {
        "sid": session_id,
        "gen": account.generation,
        "tid": default.tenant_id,
        "tslug": default.slug,
        "tgen": default.generation,
        "scope": _format_scope(default),
    }
    if actor is not None:
        claims["act"] = {"sub": actor}
    if others:
        claims["tenants"] = [
            [other.tenant_id, other.slug, other.generation, _format_scope(other)]
            for other in others
        ]
    # Use one key for the header and the signature: the current key may change in between.
    g.signing_key = use(AccessTokenIssuer).keys.current_key
    token: str = create_access_token(
        identity=account.id,
        expires_delta=lifetime,
        additional_claims=claims,
        additional_headers={"typ": TOKEN_TYPE, "kid": g.signing_key.kid},
    )
    return token


def _format_scope(membership: Membership) -> str:
    return " ".join(sorted(membership.permissions))
