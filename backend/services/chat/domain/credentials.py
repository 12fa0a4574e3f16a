"""The names of the credentials of each channel."""

from collections.abc import Collection, Mapping
from typing import Final

PREVIOUS: Final = "_previous"
"""Suffix of a secret that is being replaced."""

# Each group needs at least one of its names.
_REQUIRED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "whatsapp": (("app_secret",), ("verify_token",), ("access_token",)),
    "messenger": (("app_secret",), ("verify_token",), ("access_token",)),
    "slack": (("signing_secret",), ("bot_token",)),
    "teams": (("app_password",),),
    "telegram": (("webhook_secret",), ("bot_token",)),
    "twilio": (("auth_token", "webhook_key"), ("auth_token", "api_key_secret")),
    "generic": (("secret",),),
}


def get_names(channel: str) -> list[str]:
    """Return the names that *channel* knows, in the order of the alphabet."""
    return sorted({name for group in _REQUIRED.get(channel, ()) for name in group})


def find_unknown(channel: str, names: Collection[str]) -> list[str]:
    """Return those of *names* that *channel* does not know, with or without the suffix."""
    known = get_names(channel)
    return [name for name in names if name.removesuffix(PREVIOUS) not in known]


def find_missing(channel: str, names: Collection[str]) -> list[str]:
    """Return what *names* lack for *channel*. Alternatives are joined with "or"."""
    groups = _REQUIRED.get(channel, ())
    return [" or ".join(group) for group in groups if not set(group) & set(names)]
