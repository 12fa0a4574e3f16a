"""Verification of Clerk's session tokens, and the identity that they state.

Claims of version 1 and 2: https://clerk.com/docs/guides/sessions/session-tokens
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.services.auth.clients.clerk.keys import ALGORITHM, KeySource
from backend.services.auth.errors import InvalidClerkToken

# The default of Clerk's own libraries.
CLOCK_SKEW: Final = timedelta(seconds=5)
_MAX_TOKEN_CHARACTERS: Final = 8192
_MAX_PROFILE_CHARACTERS: Final = 200
_ROLE_PREFIX: Final = "org:"
_ADMIN_ROLE: Final = "admin"
# Latest time of a claim that fits into a datetime.
_MAX_TIME: Final = 253_402_300_799

ClerkId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
"""Id of a user, session or organization at Clerk, such as `user_29w9IptNja3mP8`."""
_Time = Annotated[int, Field(ge=0, le=_MAX_TIME)]


class _OrganizationClaim(BaseModel):
    """The organization of claims of version 2. Its role has no prefix."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: ClerkId
    slg: str | None = None
    rol: str | None = None


class _Claims(BaseModel):
    """The claims that are used. Others are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    iss: str
    sub: ClerkId
    sid: ClerkId
    exp: _Time
    iat: _Time
    nbf: _Time | None = None
    azp: str | None = None
    sts: str | None = None
    act: Any = None
    fva: list[int] | None = None
    o: _OrganizationClaim | None = None
    org_id: ClerkId | None = None
    org_slug: str | None = None
    org_role: str | None = None
    # Claims that the operator can add in Clerk's dashboard.
    email: Any = None
    email_verified: Any = None
    username: Any = None
    name: Any = None


@dataclass(frozen=True, slots=True)
class ClerkOrganization:
    """The active organization of a session.

    Attributes:
        slug: its name in URLs, if the token contains it.
        is_admin: True if the user has the role `org:admin`.
    """

    id: str
    slug: str | None
    is_admin: bool


@dataclass(frozen=True, slots=True)
class ClerkSession:
    """The verified content of a session token.

    Attributes:
        subject: the user's id at Clerk.
        id: the session's id at Clerk.
        proved_at: latest time at which the user has proved the first factor, if it is known.
        email: e-mail address, if the token states that it is verified.
    """

    subject: str
    id: str
    issued_at: datetime
    expires_at: datetime
    proved_at: datetime | None
    organization: ClerkOrganization | None
    email: str | None
    username: str | None
    display_name: str | None


class ClerkTokenVerifier:
    """Verifies session tokens of one Clerk application.

    Args:
        authorized_parties: accepted values of `azp`; empty accepts any and none.
        now: returns the current time.
    """

    def __init__(
        self,
        issuer: str,
        authorized_parties: tuple[str, ...],
        keys: KeySource,
        now: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._authorized_parties = authorized_parties
        self._keys = keys
        self._now = now

    def verify_token(self, token: str) -> ClerkSession:
        """Return the session of *token*.

        The issuer is compared first, because the token of another application names a key that is
        unknown here. All other claims are read after the signature was verified.

        Raises:
            InvalidClerkToken: the token is not valid; the message names the reason.
            ProviderUnavailable: the keys cannot be loaded.
        """
        claims = self._decode_claims(token)
        self._check_times(claims)
        if self._authorized_parties and claims.azp not in self._authorized_parties:
            raise InvalidClerkToken(
                "authorized party", "`azp` is not in CLERK_AUTHORIZED_PARTIES, or missing."
            )
        if claims.sts == "pending":
            raise InvalidClerkToken("session pending", "The user has to complete a task at Clerk.")
        if claims.act is not None:
            raise InvalidClerkToken(
                "impersonation", "A session in which someone acts as the user is not accepted."
            )
        return _to_session(claims)

    def _decode_claims(self, token: str) -> _Claims:
        if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
            raise InvalidClerkToken(
                "malformed", f"It is not ASCII or longer than {_MAX_TOKEN_CHARACTERS} characters."
            )
        try:
            unverified = jwt.api_jws.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise InvalidClerkToken("malformed", "It is not a JSON Web Token.") from error
        header = unverified["header"]
        if header.get("alg") != ALGORITHM:
            raise InvalidClerkToken("algorithm", f"Only {ALGORITHM} is accepted.")
        if header.get("typ", "JWT") != "JWT" or "crit" in header:
            raise InvalidClerkToken("malformed", "Its header is not that of a session token.")
        if _parse_issuer(unverified["payload"]) != self._issuer:
            raise InvalidClerkToken("issuer", "It was issued by another application.")
        self._verify_signature(token, header.get("kid"))
        try:
            return _Claims.model_validate_json(unverified["payload"])
        except ValidationError as error:
            names = sorted({str(entry["loc"][0]) for entry in error.errors() if entry["loc"]})
            raise InvalidClerkToken(
                "claims", f"These are missing or invalid: {', '.join(names) or 'all'}."
            ) from error

    def _verify_signature(self, token: str, kid: object) -> None:
        key = self._keys.find_key(kid if isinstance(kid, str) else None)
        if key is None:
            raise InvalidClerkToken("signature", "The application has no key with this `kid`.")
        try:
            jwt.api_jws.decode(token, key, algorithms=[ALGORITHM])
        except jwt.PyJWTError as error:
            raise InvalidClerkToken("signature", "It does not match the content.") from error

    def _check_times(self, claims: _Claims) -> None:
        now = self._now().timestamp()
        skew = CLOCK_SKEW.total_seconds()
        if claims.exp <= now - skew:
            raise InvalidClerkToken("expired", "Get a new session token from Clerk.")
        if claims.nbf is not None and claims.nbf > now + skew:
            raise InvalidClerkToken("not active yet", "`nbf` is in the future. Check the clocks.")
        if claims.iat > now + skew:
            raise InvalidClerkToken("not active yet", "`iat` is in the future. Check the clocks.")


class _Issuer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    iss: str


def _parse_issuer(payload: bytes) -> str | None:
    try:
        return _Issuer.model_validate_json(payload).iss
    except ValidationError:
        return None


def _to_session(claims: _Claims) -> ClerkSession:
    email = limit_text(claims.email) if claims.email_verified in (True, "true") else None
    return ClerkSession(
        subject=claims.sub,
        id=claims.sid,
        issued_at=_to_time(claims.iat),
        expires_at=_to_time(claims.exp),
        proved_at=_get_proof_time(claims),
        organization=_get_organization(claims),
        email=email,
        username=limit_text(claims.username) or limit_text(claims.email),
        display_name=limit_text(claims.name),
    )


def _get_organization(claims: _Claims) -> ClerkOrganization | None:
    if claims.o is not None:
        if claims.org_id not in (None, claims.o.id):
            raise InvalidClerkToken("claims", "`o` and `org_id` name different organizations.")
        return ClerkOrganization(claims.o.id, limit_text(claims.o.slg), is_admin_role(claims.o.rol))
    if claims.org_id is None:
        return None
    slug = limit_text(claims.org_slug)
    return ClerkOrganization(claims.org_id, slug, is_admin_role(claims.org_role))


def is_admin_role(role: str | None) -> bool:
    """Return True for the role `org:admin`, with or without its prefix."""
    return role is not None and role.removeprefix(_ROLE_PREFIX) == _ADMIN_ROLE


def _get_proof_time(claims: _Claims) -> datetime | None:
    """Return the earliest time that `fva`, the age of the first factor in full minutes, allows."""
    if not claims.fva or not 0 <= claims.fva[0] < claims.iat // 60:
        return None
    return _to_time(claims.iat) - timedelta(minutes=claims.fva[0] + 1)


def _to_time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def limit_text(value: object) -> str | None:
    """Return *value* if it can be stored as a name: a database accepts no NUL, for example."""
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value if 0 < len(value) <= _MAX_PROFILE_CHARACTERS else None
