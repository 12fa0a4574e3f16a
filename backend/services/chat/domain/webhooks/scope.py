"""Account, transaction and look-ups that the handlers of events share."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import get_id, get_object, get_text
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.model import contact_actor
from backend.services.chat.store import external_messages, inbound
from backend.services.chat.store.accounts import find_contact, get_or_create_contact
from backend.services.chat.store.tables import Account, Contact, Conversation, Message

EARLY_LIFETIME: Final = timedelta(hours=24)
# Schemes of ids, the most reliable first. A phone number may get another owner.
_SCHEMES: Final = ("bsuid", "aad", "teams", "wa_id")
_PLAIN: Final = "id"
_MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class EventScope:
    """The transaction in which the events of one webhook are applied."""

    session: Session
    account: Account
    log: MessageLog
    now: datetime

    def find_message(self, event: ChannelEvent, target: str) -> tuple[Conversation, Message] | None:
        """Return the message *target* of *event* with its conversation, or None."""
        key = get_chat_key(event)
        found = external_messages.find_external_message(self.session, self.account.id, target, key)
        if found is None and key.startswith("user:"):
            # The id of a user can have changed since the message, but not the message's id.
            found = external_messages.find_external_message(self.session, self.account.id, target)
        if found is None and target:
            # A message of ours has the provider's ids at its deliveries, one for each part.
            found = external_messages.find_delivered_message(
                self.session, self.account.id, target, key
            )
        return found

    def keep_early(self, event: ChannelEvent, target: str) -> None:
        """Keep *event* until its message is stored, for at most 24 hours."""
        inbound.keep_early_event(
            self.session,
            self.account,
            target,
            get_early_label(event),
            {**event.to_json(), "context": dict(event.context)},
            self.now + EARLY_LIFETIME,
        )

    def resolve_contact(self, event: ChannelEvent) -> Contact | None:
        """Return the contact that sent *event*, created if necessary. None without a sender."""
        sender = get_object(event.fields, "sender")
        pairs = get_identities(sender)
        if not pairs:
            return None
        if pairs[0][0] == _PLAIN:  # some webhooks name a user without saying by which kind of id
            known = external_messages.find_identity(self.session, self.account.id, pairs[0][1])
            pairs = pairs if known is None else [(known.scheme, known.value)]
        name = (get_text(sender, "name") or get_text(sender, "username"))[:_MAX_NAME]
        # Nearly all messages are of contacts about whom nothing is new: one query is enough.
        contact = external_messages.find_contact_with_ids(self.session, self.account.id, pairs)
        if contact is not None and name in {"", contact.name}:
            return contact
        return get_or_create_contact(
            self.session, self.account.tenant_id, self.account.id, pairs, name, self.now
        )

    def find_known_contact(self, identifier: str) -> Contact | None:
        """Return the contact with *identifier* at the account in any scheme, or None."""
        identity = external_messages.find_identity(self.session, self.account.id, identifier)
        if identity is None:
            return None
        return find_contact(self.session, self.account.tenant_id, identity.contact_id)

    def get_actor(self, event: ChannelEvent) -> str:
        """Return the actor of the sender, or of the account for events without a sender."""
        contact = self.resolve_contact(event)
        return account_actor(self.account) if contact is None else contact_actor(contact.id)


def account_actor(account: Account) -> str:
    """Return the actor of a colleague who wrote in the provider's own app."""
    return f"account:{account.id}"


def get_identities(sender: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the ids of *sender* as (scheme, value), the most reliable first."""
    ids = get_object(sender, "ids")
    pairs = [(scheme, value) for scheme in _SCHEMES if (value := get_id(ids, scheme))]
    identifier = get_id(sender, "id")
    if not pairs and identifier:
        return [(_PLAIN, identifier)]
    return pairs


def get_chat_key(event: ChannelEvent) -> str:
    """Return the key of the event's conversation, or of the chat that contains it, or ""."""
    key = get_id(event.fields, "conversation_key") or get_id(event.context, "conversation_key")
    if key:
        return key
    channel = get_id(event.context, "channel")
    return f"channel:{channel}" if channel else ""


def get_early_label(event: ChannelEvent) -> str:
    """Return what distinguishes events that wait for one message, in at most 16 characters."""
    if event.kind == "status":
        return event.get_text("status")
    parts = (
        get_chat_key(event),
        get_id(get_object(event.fields, "sender"), "id") if event.kind == "reaction" else "",
        event.get_text("emoji"),
    )
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{event.kind[:5]}-{digest[:10]}"


def parse_time(text: str) -> datetime | None:
    """Return the time of an event, or None if it has none."""
    return datetime.fromisoformat(text) if text else None
