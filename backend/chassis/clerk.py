"""The Clerk application whose session tokens the suite accepts, from the variables of Clerk's SDKs.

Its publishable key contains the host of the issuer: https://clerk.com/docs
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from backend.chassis.settings import Env, SettingsError

_KEY: Final = re.compile(r"pk_(test|live)_([A-Za-z0-9+/_-]+)={0,2}")
_HOST: Final = re.compile(
    r"(?=.{4,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+"
)


@dataclass(frozen=True, slots=True)
class ClerkApplication:
    """A Clerk application.

    Attributes:
        issuer: the `iss` of its tokens, such as `https://clerk.example.org`.
        is_live: False for a development instance of Clerk.
    """

    issuer: str
    is_live: bool


def load_clerk_application(env: Env) -> ClerkApplication | None:
    """Return the Clerk application, or None if none is configured.

    Raises:
        SettingsError: the publishable key is invalid, or its two variables contradict each other.
    """
    key, name = env.optional("CLERK_PUBLISHABLE_KEY"), "CLERK_PUBLISHABLE_KEY"
    public_key = env.optional("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY")
    if key and public_key and key != public_key:
        raise SettingsError(
            "CLERK_PUBLISHABLE_KEY and NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY set the same thing and "
            "have different values. Keep one of them."
        )
    if key is None:
        key, name = public_key, "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"
    if key is None:
        return None
    match = _KEY.fullmatch(key)
    host = _decode_host(match[2]) if match else None
    if match is None or host is None:
        raise SettingsError(
            f"{name} is not a publishable key of Clerk. Copy it from the page 'API keys' of the "
            "Clerk dashboard; it begins with pk_test_ or pk_live_."
        )
    return ClerkApplication(f"https://{host}", is_live=match[1] == "live")


def _decode_host(encoded: str) -> str | None:
    """Return the host that is encoded in a publishable key, or None. A `$` marks its end."""
    padded = encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4)
    try:
        text = base64.b64decode(padded, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    host = text.removesuffix("$")
    return host if host != text and _HOST.fullmatch(host) else None
