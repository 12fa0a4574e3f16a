"""Contacts of a tenant: list, change, merge, link to a user, erase."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.erasure import erase_messages
from backend.services.chat.errors import InvalidContent, ResourceNotFound
from backend.services.chat.model import contact_actor
from backend.services.chat.store import accounts as store
from backend.services.chat.store.tables import Contact


@dataclass(frozen=True, slots=True)
class IdentityView:
    """An id of a contact at an account."""

    account_id: str
    scheme: str
    value: str


@dataclass(frozen=True, slots=True)
class ContactView:
    """A contact with its identities."""

    id: str
    name: str
    user_id: str | None
    is_blocked: bool
    preferences: Mapping[str, Any]
    attributes: Mapping[str, Any]
    identities: Sequence[IdentityView]
    created_at: datetime
    updated_at: datetime


class ContactService:
    """Contacts of the caller's tenant. All methods raise ResourceNotFound for others."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def list_contacts(
        self,
        caller: Caller,
        limit: int,
        after: tuple[datetime, str] | None,
        search_text: str | None,
    ) -> list[ContactView]:
        """Return contacts, newest first."""
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_contacts(session, caller.tenant_id, limit, after, search_text)
            return _load_views(session, rows)

    def get_contact(self, caller: Caller, contact_id: str) -> ContactView:
        """Return a contact. The id of a merged one returns the one it was merged into."""
        with self._database.read(caller.tenant_id) as session:
            return _load_view(session, _find(session, caller, contact_id))

    def update_contact(
        self,
        caller: Caller,
        contact_id: str,
        name: str | None,
        attributes: Mapping[str, Any] | None,
        *,
        is_blocked: bool | None,
    ) -> ContactView:
        """Change name, attributes, or whether messages of the contact are ignored."""
        with self._database.write(caller.tenant_id) as session:
            contact = _find(session, caller, contact_id)
            if attributes is not None:
                contact.attributes = dict(attributes)
            if name is not None:
                contact.name = name
                # The name at the provider no longer replaces it.
                contact.attributes = {**contact.attributes, "name_is_set": True}
            if is_blocked is not None:
                contact.is_blocked = is_blocked
            contact.updated_at = self._now()
            return _load_view(session, contact)

    def merge_contacts(self, caller: Caller, source_id: str, target_id: str) -> ContactView:
        """Move identities and conversations of one contact to another one, and return that.

        A contact that is already merged into the other one stays as it is.

        Raises:
            InvalidContent: both ids are the same.
        """
        with self._database.write(caller.tenant_id) as session:
            source = _find(session, caller, source_id)
            target = _find(session, caller, target_id)
            if source_id == target_id:
                raise InvalidContent("#/into_id", "A contact cannot be merged into itself.")
            if source.id != target.id:
                store.merge_contacts(session, source, target, self._now())
                session.flush()
            return _load_view(session, target)

    def link_user(self, caller: Caller, contact_id: str, user_id: str | None) -> ContactView:
        """Link a contact to a user, or with None remove the link. It grants no permissions."""
        with self._database.write(caller.tenant_id) as session:
            contact = _find(session, caller, contact_id)
            contact.user_id, contact.updated_at = user_id, self._now()
            return _load_view(session, contact)

    def erase_contact(self, caller: Caller, contact_id: str) -> None:
        """Delete a contact, its conversations and what it wrote in groups."""
        with self._database.read(caller.tenant_id) as session:
            person = store.list_person_ids(session, _find(session, caller, contact_id))
        for each in person:
            erase_messages(self._database, caller.tenant_id, contact_actor(each), self._now)
        with self._database.write(caller.tenant_id) as session:
            store.erase_contact(session, _find(session, caller, contact_id), self._now())


def _find(session: Session, caller: Caller, contact_id: str) -> Contact:
    contact = store.find_contact(session, caller.tenant_id, contact_id)
    if contact is None:
        raise ResourceNotFound("contact")
    return contact


def _load_view(session: Session, contact: Contact) -> ContactView:
    return _load_views(session, [contact])[0]


def _load_views(session: Session, contacts: Sequence[Contact]) -> list[ContactView]:
    identities = store.list_identities(session, [contact.id for contact in contacts])
    return [
        ContactView(
            id=contact.id,
            name=contact.name,
            user_id=contact.user_id,
            is_blocked=contact.is_blocked,
            preferences=contact.preferences,
            attributes={
                key: value for key, value in contact.attributes.items() if key != "name_is_set"
            },
            identities=[
                IdentityView(item.account_id, item.scheme, item.value)
                for item in identities.get(contact.id, ())
            ],
            created_at=contact.created_at,
            updated_at=contact.updated_at,
        )
        for contact in contacts
    ]
