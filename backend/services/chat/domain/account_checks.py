"""Checks of the credentials of accounts at their providers."""

from collections.abc import Callable, Mapping
from typing import Final

from backend.chassis.encryption import DecryptionError
from backend.services.chat.clients.outcomes import ChannelAccount, ChannelClient
from backend.services.chat.domain.accounts import KEY_MISSING, CheckResult
from backend.services.chat.domain.credentials import find_missing
from backend.services.chat.domain.visitors.origins import get_origins, list_origin_problems
from backend.services.chat.store.accounts import web_account_id
from backend.services.chat.store.tables import Account

OpenSecrets = Callable[[str | None], Mapping[str, str]]
_KEY_MISSING: Final = (
    "Only people answer, because the account has no agent_key. To let the agent answer, create a "
    "service account with the permissions agent:query and rag:read, and set agent_key to its key "
    "with PATCH /chat/accounts/ID."
)


def check_account(
    account: Account, clients: Mapping[str, ChannelClient], open_secrets: OpenSecrets
) -> CheckResult:
    """Request something harmless from the provider with the credentials of *account*.

    Of an account of web chat, check the origins of its sites. A missing key of the agent is
    reported, but it leaves the account valid: people can answer.
    """
    result = _check_channel(account, clients, open_secrets)
    if result.is_valid and account.agent_key is None and not _is_for_users(account):
        return CheckResult(is_valid=True, error={"code": KEY_MISSING, "detail": _KEY_MISSING})
    return result


def _check_channel(
    account: Account, clients: Mapping[str, ChannelClient], open_secrets: OpenSecrets
) -> CheckResult:
    if account.channel == "web":
        return _check_origins(account)
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


def _check_origins(account: Account) -> CheckResult:
    problems = list_origin_problems(account.settings)
    if problems:
        error = {"code": "origins_invalid", "detail": " ".join(problems)}
        return CheckResult(is_valid=False, error=error)
    if not get_origins(account.settings) and not _is_for_users(account):
        detail = "The account lists no site. Add the origin of each, such as https://shop.example."
        return CheckResult(is_valid=False, error={"code": "origins_missing", "detail": detail})
    return CheckResult(is_valid=True)


def _is_for_users(account: Account) -> bool:
    """Return whether *account* is for chats of signed-in users: without sites and without a key."""
    return account.id == web_account_id(account.tenant_id)
