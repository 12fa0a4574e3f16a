"""Access to conversations: which callers may see and answer them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.chassis.database.sessions import Session
from backend.security import Permission
from backend.services.chat.errors import ConversationNotFound, ReplyPermissionRequired
from backend.services.chat.model import user_actor
from backend.services.chat.store import conversations as store
from backend.services.chat.store.tables import Conversation


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller. *headers* identify the caller to the agent."""

    user_id: str
    tenant_id: str
    session_id: str
    permissions: frozenset[str]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def actor(self) -> str:
        return user_actor(self.user_id)

    @property
    def can_read_all(self) -> bool:
        """True if the caller sees all conversations of the tenant."""
        return Permission.CHAT_READ in self.permissions

    @property
    def can_reply(self) -> bool:
        """True if the caller may answer in all conversations of the tenant."""
        return Permission.CHAT_REPLY in self.permissions

    @property
    def can_manage(self) -> bool:
        return Permission.CHAT_MANAGE in self.permissions

    def owns(self, conversation: Conversation) -> bool:
        return conversation.owner_id == self.user_id


def find_visible(session: Session, caller: Caller, conversation_id: str) -> Conversation:
    """Return a conversation that *caller* owns, or any of the tenant with `chat:read`.

    Raises:
        ConversationNotFound: there is none, or the caller must not see it.
    """
    conversation = store.find_conversation(session, caller.tenant_id, conversation_id)
    if conversation is None or not (caller.owns(conversation) or caller.can_read_all):
        raise ConversationNotFound
    return conversation


def find_writable(session: Session, caller: Caller, conversation_id: str) -> Conversation:
    """Return a conversation that *caller* owns, or may answer in.

    Raises:
        ConversationNotFound: as `find_visible`.
        ReplyPermissionRequired: the caller sees it, but may not write.
    """
    conversation = find_visible(session, caller, conversation_id)
    if not (caller.owns(conversation) or caller.can_reply):
        raise ReplyPermissionRequired
    return conversation
