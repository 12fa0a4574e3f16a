"""Registration of this installation at Clerk."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.chassis.settings import Secret


@dataclass(frozen=True, slots=True)
class ClerkSettings:
    """Settings of one Clerk application.

    Attributes:
        issuer: the `iss` of its session tokens.
        is_live: False for a development instance of Clerk.
        authorized_parties: accepted values of `azp`; empty accepts any and none.
        public_key: PEM text of the key that verifies tokens; None to download the keys.
        jwks_url: URL of the keys if it is not below the issuer.
        api_url: URL of Clerk's Backend API if it is not Clerk's own.
        secret_key: key of the Backend API.
        webhook_secret: secret with which Clerk signs webhooks.
        organizations: tenant (id or slug) by id of the organization.
        trust_email: use verified e-mail addresses.
    """

    issuer: str
    is_live: bool
    authorized_parties: tuple[str, ...] = ()
    public_key: str | None = None
    jwks_url: str | None = None
    api_url: str | None = None
    secret_key: Secret | None = None
    webhook_secret: Secret | None = None
    organizations: Mapping[str, str] = field(default_factory=dict)
    trust_email: bool = False
