"""Checks of the credentials of accounts at their providers."""

from collections.abc import Callable, Mapping

from backend.chassis.encryption import DecryptionError
from backend.services.chat.clients.outcomes import ChannelAccount, ChannelClient
from backend.services.chat.domain.accounts import CheckResult
from backend.services.chat.domain.credentials import find_missing
from backend.services.chat.store.tables import Account

OpenSecrets = Callable[[str | None], Mapping[str, str]]


def check_account(
    account: Account, clients: Mapping[str, ChannelClient], open_secrets: OpenSecrets
) -> CheckResult:
    """Request something harmless from the provider with the credentials of *account*.

    An account without a provider, such as the one for web chat, is valid.
    """
    client = clients.get(account.channel)
    if client is None:
        return CheckResult(is_valid=True)
    try:
        credentials = open_secrets(account.credentials)
    except DecryptionError:
        detail = "The credentials were sealed with another secret key. Set them again."
        return CheckResult(is_valid=False, error={"code": "secrets_unreadable", "detail": detail})
    missing = find_missing(account.channel, credentials)
    if missing:
        detail = f"The account lacks these credentials: {', '.join(missing)}."
        return CheckResult(is_valid=False, error={"code": "incomplete", "detail": detail})
    outcome = client.check(
        ChannelAccount(account.id, account.channel, account.settings, credentials)
    )
    if outcome.state == "sent":
        return CheckResult(is_valid=True)
    return CheckResult(is_valid=False, error={"code": outcome.code, "detail": outcome.detail})
