"""Routes for the administration of channel accounts."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from flask import Blueprint
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    Permission,
    VisibleText,
    require_permission,
    validate_input,
    validate_query,
)
from backend.security.api_keys import API_KEY_PREFIX
from backend.services.chat.domain.accounts import AccountChange, AccountService, AccountView
from backend.services.chat.errors import ResourceNotFound
from backend.services.chat.routes.account_settings import AccountSettings, SettingName
from backend.services.chat.routes.request_caller import get_caller

accounts = Blueprint("accounts", __name__, url_prefix="/accounts")

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), VisibleText
]
SecretText = Annotated[str, Field(min_length=1, max_length=8192)]
Credentials = Annotated[dict[SettingName, SecretText | None], Field(max_length=20)]
_KEY_PREFIX: Final = f"{API_KEY_PREFIX}sa."
_KEY_PATTERN: Final = rf"^({re.escape(_KEY_PREFIX)}[A-Za-z0-9_-]+)?$"


def _check_key(key: str) -> str:
    if not re.fullmatch(_KEY_PATTERN, key):
        raise ValueError(
            f"The key of a service account starts with {_KEY_PREFIX} and has only letters, digits, "
            "- and _ after it. Copy the whole key without spaces."
        )
    return key


AgentKey = Annotated[
    str,
    Field(max_length=200, json_schema_extra={"pattern": _KEY_PATTERN}),
    AfterValidator(_check_key),
]


class AccountCreate(Input):
    """A new account. `credentials` and `agent_key` are never returned.

    The names of the credentials depend on the channel: whatsapp and messenger have `app_secret`,
    `verify_token` and `access_token`; slack `signing_secret` and `bot_token`; teams `app_password`;
    telegram `webhook_secret` and `bot_token`; twilio `auth_token`, `webhook_key` and
    `api_key_secret`; generic `secret`. Each name may have the suffix `_previous`.

    The channel `web` has no credentials, but the settings of the widget: `origins` (the sites that
    may show it, such as `https://shop.example`, at most 20), `title`, `greeting` and `colour`
    (`#rrggbb`).

    `settings` depend on the channel too, such as `phone_number_id`. All accounts have `persona`,
    `collection`, `cache_answers`, `human_agent`, `on_busy` (`wait` or `interrupt`),
    `group_messages` (`all` or `mentioned`), `messages_per_second`, `limits`, `media_hosts` and
    `answer_with_speech`. Calls use `voice_language`, such as `en-US`, and `voice_greeting`.

    `agent_key` is the key of a service account with `agent:query` and `rag:read`: the agent answers
    with its permissions.
    """

    channel: Literal[
        "web", "whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"
    ]
    name: Name
    settings: AccountSettings = Field(default_factory=dict)
    credentials: Credentials = Field(default_factory=dict)
    agent_key: AgentKey | None = None


class AccountUpdate(Input):
    """Changes of an account. A null credential is removed, an empty `agent_key` too.

    `settings` replaces all settings: send them completely.

    With `keep_previous` webhooks that are signed with a replaced secret stay valid: it is kept
    under its name with the suffix `_previous`.
    """

    name: Name | None = None
    state: Literal["active", "stopped"] | None = None
    settings: AccountSettings | None = None
    credentials: Credentials | None = None
    agent_key: AgentKey | None = None
    keep_previous: bool = False


class AccountResponse(BaseModel):
    """An account without its secrets. `state` is active, stopped or revoked."""

    id: str
    channel: str
    name: str
    state: str
    error: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    credential_names: Sequence[str]
    has_agent_key: bool
    checked_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_view(cls, view: AccountView) -> Self:
        return cls.model_validate(view, from_attributes=True)


class AccountPage(BaseModel):
    items: Sequence[AccountResponse]
    next_cursor: str | None


@accounts.get("")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(PageQuery)
@responds_with(AccountPage)
def list_accounts(page: PageQuery) -> AccountPage:
    """List the accounts of the tenant, newest first. One for web chat always exists."""
    rows = use(AccountService).list_accounts(
        get_caller(), page.limit + 1, page.decode_time_cursor()
    )
    items, cursor = paginate(rows, page.limit, lambda row: (row.created_at.isoformat(), row.id))
    return AccountPage(items=[AccountResponse.from_view(row) for row in items], next_cursor=cursor)


@accounts.post("")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(AccountCreate)
@idempotent
@responds_with(AccountResponse, 201)
@request_example(
    {
        "channel": "generic",
        "name": "Shop",
        "settings": {"url": "https://shop.example.org/chat"},
        "credentials": {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    }
)
def create_account(body: AccountCreate) -> AccountResponse:
    """Create an account of a channel.

    Its webhook is `/webhook/CHANNEL/ID` at the gateway; an account of the channel `web` has the
    page `/chat/web/ID` instead.
    """
    change = AccountChange(
        name=body.name,
        settings=body.settings,
        credentials=body.credentials,
        agent_key=body.agent_key,
    )
    view = use(AccountService).create_account(get_caller(), body.channel, change)
    return AccountResponse.from_view(view)


@accounts.get("/<account_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(AccountResponse, errors=(ResourceNotFound,))
def get_account(account_id: str) -> AccountResponse:
    """Get an account."""
    return AccountResponse.from_view(use(AccountService).get_account(get_caller(), account_id))


@accounts.patch("/<account_id>")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(AccountUpdate)
@responds_with(AccountResponse, errors=(ResourceNotFound,))
@request_example({"name": "Shop in Berlin"})
def update_account(body: AccountUpdate, account_id: str) -> AccountResponse:
    """Change an account. New credentials make a revoked account active again."""
    change = AccountChange(
        name=body.name,
        state=body.state,
        settings=body.settings,
        credentials=body.credentials,
        agent_key=body.agent_key,
        keeps_previous=body.keep_previous,
    )
    return AccountResponse.from_view(
        use(AccountService).update_account(get_caller(), account_id, change)
    )


@accounts.delete("/<account_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(status=204, errors=(ResourceNotFound,))
def delete_account(account_id: str) -> None:
    """Delete an account with all its conversations."""
    use(AccountService).delete_account(get_caller(), account_id)


@accounts.post("/<account_id>/check")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(AccountResponse, errors=(ResourceNotFound,))
def check_account(account_id: str) -> AccountResponse:
    """Check the account's credentials at its provider. A valid account becomes active again.

    Of an account of the channel `web`, the origins of its sites are checked. The error
    `agent_key_missing` is information: the account is active, and people answer.
    """
    return AccountResponse.from_view(use(AccountService).check_account(get_caller(), account_id))
