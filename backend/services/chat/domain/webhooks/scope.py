"""Account, transaction and look-ups that the handlers of events share."""

import hashlib
from collections.abc import Mapping, Sequence
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
from backend.services.chat.store.external_messages import NAMED_SCHEMES, PLAIN_SCHEME
from backend.services.chat.store.tables import Account, Contact, Conversation, Message

EARLY_LIFETIME: Final = timedelta(hours=24)
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
        return resolve_contacts([(self, event)])[0]

    def find_or_create_contact(self, pairs: Sequence[tuple[str, str]], name: str) -> Contact:
        """Return the contact with one of the ids *pairs*, which gets the others and *name*."""
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


def resolve_contacts(
    events: Sequence[tuple[EventScope, ChannelEvent]],
) -> list[Contact | None]:
    """Return the contact that sent each of *events*, created if necessary. None without a sender.

    All scopes have the same session.
    """
    senders = [get_object(event.fields, "sender") for _, event in events]
    ids = [get_identities(sender) for sender in senders]
    wanted = {
        (scope.account.id, value): None
        for (scope, _), pairs in zip(events, ids, strict=True)
        for _, value in pairs
    }
    # Nearly all messages are of contacts about whom nothing is new: one query is enough.
    known = external_messages.list_contacts_with_ids(events[0][0].session, wanted) if wanted else {}
    contacts: list[Contact | None] = []
    for (scope, _), pairs, sender in zip(events, ids, senders, strict=True):
        name = (get_text(sender, "name") or get_text(sender, "username"))[:_MAX_NAME]
        by_scheme = [known.get((scope.account.id, value), {}) for _, value in pairs]
        if pairs and pairs[0][0] == PLAIN_SCHEME and by_scheme[0]:
            # Some webhooks name a user without saying by which kind of id.
            pairs = [(next(iter(by_scheme[0])), pairs[0][1])]
        contact = _get_only_contact(pairs, by_scheme)
        if contact is None or name not in {"", contact.name}:
            contact = scope.find_or_create_contact(pairs, name) if pairs else None
        contacts.append(contact)
    return contacts


def _get_only_contact(
    pairs: Sequence[tuple[str, str]], by_scheme: Sequence[Mapping[str, Contact]]
) -> Contact | None:
    """Return the contact that has all ids, or None."""
    found = [known.get(scheme) for (scheme, _), known in zip(pairs, by_scheme, strict=True)]
    contact = found[0] if found else None
    if contact is None or contact.merged_into_id is not None:
        return None
    return contact if all(other is contact for other in found) else None


def account_actor(account: Account) -> str:
    """Return the actor of a colleague who wrote in the provider's own app."""
    return f"account:{account.id}"


def get_identities(sender: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the ids of *sender* as (scheme, value), the most reliable first."""
    ids = get_object(sender, "ids")
    pairs = [(scheme, value) for scheme in NAMED_SCHEMES if (value := get_id(ids, scheme))]
    identifier = get_id(sender, "id")
    if not pairs and identifier:
        return [(PLAIN_SCHEME, identifier)]
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
