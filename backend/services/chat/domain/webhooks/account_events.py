"""Events about contacts, conversations, templates and the account itself."""

from datetime import timedelta
from typing import Any, Final

from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import get_id, get_object
from backend.services.chat.domain.templates import set_status
from backend.services.chat.domain.webhooks.scope import EventScope
from backend.services.chat.model import contact_actor
from backend.services.chat.store import external_messages
from backend.services.chat.store.accounts import (
    get_account,
    get_or_create_contact,
    merge_contacts,
)
from backend.services.chat.store.conversations import join

_HUMAN_MODE_LIFETIME: Final = timedelta(hours=24)
# Teams reports `uninstalled` for one conversation, in which the bot is no longer.
_REVOKED: Final = frozenset({"tokens_revoked", "app_uninstalled", "disabled_update"})
_RESTORED: Final = frozenset({"reinstate", "unblock"})
# The details of WhatsApp's `disabled_update` say whether the account is disabled.
_STILL_ENABLED: Final = frozenset({"reinstate", "schedule_for_disable"})


def apply_identity(scope: EventScope, event: ChannelEvent) -> None:
    """Give the contact of the old id the new one. If both are known, they are one contact."""
    old_id, new_id = event.get_text("old_id"), event.get_text("new_id")
    if not old_id or not new_id:
        return
    session, account = scope.session, scope.account
    if account.channel == "telegram":  # a group that became a supergroup
        external_messages.rename_conversations(
            session, account.id, f"chat:{old_id}", f"chat:{new_id}"
        )
        return
    contact = scope.find_known_contact(old_id) or scope.find_known_contact(event.get_text("wa_id"))
    other = scope.find_known_contact(new_id)
    if contact is not None and other is not None and contact.id != other.id:
        merge_contacts(session, contact, other, scope.now)
        return
    identity = external_messages.find_identity(session, account.id, old_id)
    # Only business-scoped ids have a point.
    is_bsuid = "." in new_id or bool(event.get_text("wa_id"))
    scheme = identity.scheme if identity else ("bsuid" if is_bsuid else "wa_id")
    pairs = [(scheme, new_id), (scheme, old_id)]
    if event.get_text("wa_id"):
        pairs.append(("wa_id", event.get_text("wa_id")))
    get_or_create_contact(session, account.tenant_id, account.id, pairs, "", scope.now)


def apply_preference(scope: EventScope, event: ChannelEvent) -> None:
    """Store what messages the contact wants, or that it allowed them."""
    contact = scope.resolve_contact(event)
    if contact is None:
        return
    category = event.get_text("category") or event.kind
    value = event.get_text("value") or event.get_text("ref") or True
    contact.preferences = {**contact.preferences, category[:64]: value}
    contact.updated_at = scope.now


def apply_participants(scope: EventScope, event: ChannelEvent) -> None:
    """Note that a contact joined or left a known conversation. Our bot is no contact."""
    if event.context.get("own") is True:
        return
    conversation = external_messages.find_conversation_by_key(
        scope.session, scope.account.id, event.get_text("conversation_key")
    )
    if conversation is None:
        return
    contact = scope.resolve_contact(event)
    if contact is None:
        return
    participant = join(scope.session, conversation, contact_actor(contact.id), scope.now)
    participant.left_at = scope.now if event.get_text("action") == "leave" else None


def apply_handover(scope: EventScope, event: ChannelEvent) -> None:
    """Follow who controls a Messenger conversation: our app, or the page's inbox."""
    conversation = external_messages.find_conversation_by_key(
        scope.session, scope.account.id, event.get_text("conversation_key")
    )
    action = event.get_text("action")
    if conversation is None or action == "request":
        return
    owner = get_id(event.context, "new_owner")
    is_ours = action == "pass" and owner == get_id(scope.account.settings, "app_id")
    values: dict[str, Any] = {"mode": "bot", "mode_until": None}
    if not is_ours:
        values = {"mode": "human", "mode_until": scope.now + _HUMAN_MODE_LIFETIME}
    scope.log.change_conversation(scope.session, conversation, **values)


def apply_template(scope: EventScope, event: ChannelEvent) -> None:
    """Store the new status of a known template."""
    set_status(
        scope.session,
        scope.account.id,
        event.get_text("name"),
        event.get_text("language"),
        event.get_text("status"),
        event.get_text("reason"),
        scope.now,
    )


def apply_account(scope: EventScope, event: ChannelEvent) -> None:
    """Store a new state of the account. A revoked one sends nothing until it is checked."""
    account, state = get_account(scope.session, scope.account.id), event.get_text("state")
    if account is None:
        return
    ban_state = get_id(event.context, "ban_state")
    state = ban_state if ban_state in _STILL_ENABLED else state
    if state in _REVOKED:
        account.state = "revoked"
        account.error = {"code": state, "title": "The provider has revoked the access."}
    elif state in _RESTORED and account.state == "revoked":
        account.state, account.error = "active", None
    else:
        error = get_object(event.fields, "error")
        account.error = {"code": state, **error} if error else account.error
    account.updated_at = scope.now
    scope.log.record_account_change(scope.session, account)
