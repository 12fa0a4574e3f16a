"""Decides whether a webhook is authentic, by the rule of its channel.

The secrets are in the account's credentials. While one is replaced, the old one is valid under the
same name with the suffix `_previous`.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from backend.chassis.encryption import DecryptionError, Encryptor
from backend.security.standard_webhooks import verify_webhook
from backend.services.chat.domain import signatures
from backend.services.chat.domain.credentials import PREVIOUS
from backend.services.chat.domain.webhooks.requests import WebhookRequest
from backend.services.chat.store.tables import Account

_log = logging.getLogger(__name__)
_MAX_FORM_FIELDS: Final = 1_000


class TeamsTokenVerifier(Protocol):
    """Verifies the tokens of the Bot Framework."""

    def is_valid(self, authorization: str | None, body: bytes, settings: Mapping[str, Any]) -> bool:
        """Return whether the Authorization header is valid for *body* and the account."""


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """The part of an account that verification needs. *credentials* are in clear text."""

    channel: str
    settings: Mapping[str, Any]
    credentials: Mapping[str, str]

    def get_secrets(self, name: str) -> list[str]:
        """Return the secret *name* and the one it replaces, without empty ones."""
        found = (self.credentials.get(name), self.credentials.get(name + PREVIOUS))
        return [secret for secret in found if secret]


def open_secrets(encryptor: Encryptor, account: Account) -> WebhookSecrets:
    """Return the settings of *account* with its credentials in clear text.

    Credentials that cannot be decrypted are left out, so that no webhook is authentic.
    """
    credentials: dict[str, str] = {}
    if account.credentials is not None:
        try:
            opened = json.loads(encryptor.decrypt_text(account.credentials))
        except (DecryptionError, ValueError):
            _log.error("credentials of account %s cannot be decrypted", account.id)
            opened = {}
        credentials = {name: value for name, value in opened.items() if isinstance(value, str)}
    return WebhookSecrets(account.channel, account.settings, credentials)


class WebhookVerifier:
    """Verifies webhooks of all channels.

    Args:
        teams: verifies the tokens of Teams, with keys that it fetches.
    """

    def __init__(self, teams: TeamsTokenVerifier) -> None:
        self._rules: dict[str, Callable[[WebhookSecrets, WebhookRequest], bool]] = {
            "whatsapp": _verify_meta,
            "messenger": _verify_meta,
            "instagram": _verify_meta,
            "slack": _verify_slack,
            "telegram": _verify_telegram,
            "twilio": _verify_twilio,
            "generic": _verify_standard,
            "teams": self._verify_teams,
        }
        self._teams = teams

    def is_authentic(self, account: WebhookSecrets, request: WebhookRequest) -> bool:
        """Return whether the provider of *account* has sent *request*. Never raises."""
        rule = self._rules.get(account.channel)
        return rule is not None and rule(account, request)

    def _verify_teams(self, account: WebhookSecrets, request: WebhookRequest) -> bool:
        header = request.get_header("authorization")
        return self._teams.is_valid(header, request.body, account.settings)


def answer_subscription(account: WebhookSecrets, query: Mapping[str, str]) -> str | None:
    """Return `hub.challenge` of a Meta subscription, or None if its token is not the account's."""
    if account.channel not in {"whatsapp", "messenger", "instagram"}:
        return None
    is_known = signatures.verify_secret_token(
        account.get_secrets("verify_token"), query.get("hub.verify_token")
    )
    return query.get("hub.challenge", "") if is_known else None


def _verify_meta(account: WebhookSecrets, request: WebhookRequest) -> bool:
    signature = request.get_header("x-hub-signature-256")
    return signatures.verify_meta(account.get_secrets("app_secret"), signature, request.body)


def _verify_slack(account: WebhookSecrets, request: WebhookRequest) -> bool:
    return signatures.verify_slack(
        account.get_secrets("signing_secret"),
        request.get_header("x-slack-request-timestamp"),
        request.get_header("x-slack-signature"),
        request.body,
        request.received_at,
    )


def _verify_telegram(account: WebhookSecrets, request: WebhookRequest) -> bool:
    token = request.get_header("x-telegram-bot-api-secret-token")
    return signatures.verify_secret_token(account.get_secrets("webhook_secret"), token)


def _verify_standard(account: WebhookSecrets, request: WebhookRequest) -> bool:
    return verify_webhook(
        account.get_secrets("secret"),
        request.get_header("webhook-id"),
        request.get_header("webhook-timestamp"),
        request.get_header("webhook-signature"),
        request.body,
        request.received_at,
    )


def _verify_twilio(account: WebhookSecrets, request: WebhookRequest) -> bool:
    parameters: list[tuple[str, str]] = []
    body: bytes | None = None
    if request.is_form:
        try:
            parameters = parse_qsl(
                request.body.decode("utf-8"),
                keep_blank_values=True,
                max_num_fields=_MAX_FORM_FIELDS,
            )
        except ValueError:
            return False
    elif request.body:
        body = request.body
    return signatures.verify_twilio(
        account.get_secrets("auth_token"),
        account.get_secrets("webhook_key"),
        signatures.build_twilio_urls(request.url),
        parameters,
        body,
        request.get_header("x-twilio-signature"),
        request.get_header("x-twilio-webhooks-signature-settings"),
    )
