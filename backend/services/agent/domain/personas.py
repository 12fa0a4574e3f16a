"""Personas: a system prompt, a temperature and a token limit for answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.services.agent.errors import (
    PersonaNameTaken,
    PersonaNotEditable,
    PersonaNotFound,
    TooManyPersonas,
    UnknownPersona,
)
from backend.services.agent.model import Caller
from backend.services.agent.store import personas as store
from backend.services.agent.store.tables import Persona as Row

MAX_PERSONAS: Final = 100


@dataclass(frozen=True, slots=True)
class PersonaFields:
    """Editable fields of a persona. A shared persona is available to all users of the tenant."""

    name: str
    system_prompt: str
    description: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Persona:
    """A persona. The id of a built-in persona is its name."""

    id: str
    name: str
    description: str
    system_prompt: str
    temperature: float | None = None
    max_tokens: int | None = None
    shared: bool = False
    built_in: bool = False


BUILT_IN_PERSONAS: Final = (
    Persona(
        "assistant",
        "assistant",
        "Helpful and concise; suitable for most requests.",
        "You are a helpful assistant. Answer in plain words, the result first.",
        temperature=0.4,
        max_tokens=1_024,
        built_in=True,
    ),
    Persona(
        "creative",
        "creative",
        "Ideas, variants and lively wording.",
        "You are an imaginative writer. Offer fresh ideas and several variants where that helps,"
        " in vivid language. What you make up must not pass for a fact from the documents.",
        temperature=0.9,
        max_tokens=2_048,
        built_in=True,
    ),
    Persona(
        "analytical",
        "analytical",
        "Step by step, with numbers and their sources.",
        "You are a careful analyst. Work step by step, compare, calculate with the calculator"
        " rather than in your head, name assumptions and what is uncertain, and end with the"
        " conclusion.",
        temperature=0.1,
        max_tokens=2_048,
        built_in=True,
    ),
    Persona(
        "professional",
        "professional",
        "Formal and concise; suitable for forwarding.",
        "You write for business readers: formal, courteous, concise and well structured, without"
        " colloquialisms, so that the answer can be sent on as it is.",
        temperature=0.3,
        max_tokens=1_536,
        built_in=True,
    ),
)
# Used for requests without a persona: the model's own settings apply.
_NO_PERSONA: Final = Persona("", "", "", "")


class PersonaService:
    """Built-in personas, shared personas of the tenant, and personas of the caller."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def list_personas(self, caller: Caller) -> Sequence[Persona]:
        """Return all personas that *caller* may use: built-in ones first, then by name."""
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_visible_personas(session, caller.tenant_id, caller.user_id)
            return [*BUILT_IN_PERSONAS, *map(_to_persona, rows)]

    def get_persona(self, caller: Caller, persona_id: str) -> Persona:
        """Return the persona with this id, or raise PersonaNotFound."""
        for persona in self.list_personas(caller):
            if persona.id == persona_id:
                return persona
        raise PersonaNotFound

    def find_persona(self, caller: Caller, id_or_name: str | None) -> Persona:
        """Return the persona with this id or name; the caller's own ones precede shared ones.

        Raises:
            UnknownPersona: the caller has no such persona.
        """
        if id_or_name is None:
            return _NO_PERSONA
        personas = self.list_personas(caller)
        for persona in sorted(personas, key=lambda persona: persona.shared):
            if id_or_name == persona.id or id_or_name.casefold() == persona.name.casefold():
                return persona
        raise UnknownPersona([persona.name for persona in personas])

    def create_persona(self, caller: Caller, fields: PersonaFields, *, is_admin: bool) -> Persona:
        """Create a persona of the caller. Only administrators can create shared personas."""
        if fields.shared and not is_admin:
            raise PersonaNotEditable
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            acquire_transaction_lock(session, f"agent personas of {caller.tenant_id}")
            if store.count_personas(session, caller.tenant_id, caller.user_id) >= MAX_PERSONAS:
                raise TooManyPersonas(MAX_PERSONAS)
            row = Row(
                id=f"persona_{uuid4().hex}",
                tenant_id=caller.tenant_id,
                owner_id=caller.user_id,
                created_at=now,
            )
            self._apply_fields(session, row, fields)
            session.add(row)
            return _to_persona(row)

    def update_persona(
        self, caller: Caller, persona_id: str, fields: PersonaFields, *, is_admin: bool
    ) -> Persona:
        """Replace all fields of a persona."""
        with self._database.write(caller.tenant_id) as session:
            acquire_transaction_lock(session, f"agent personas of {caller.tenant_id}")
            row = _get_editable_row(session, caller, persona_id, is_admin=is_admin)
            if fields.shared and not is_admin:
                raise PersonaNotEditable
            self._apply_fields(session, row, fields)
            return _to_persona(row)

    def delete_persona(self, caller: Caller, persona_id: str, *, is_admin: bool) -> None:
        """Delete a persona."""
        with self._database.write(caller.tenant_id) as session:
            session.delete(_get_editable_row(session, caller, persona_id, is_admin=is_admin))

    def _apply_fields(self, session: Session, row: Row, fields: PersonaFields) -> None:
        taken_names = {persona.name for persona in BUILT_IN_PERSONAS}
        others = store.list_visible_personas(session, row.tenant_id, row.owner_id)
        taken_names |= {
            other.name.casefold()
            for other in others
            if other.id != row.id and other.shared == fields.shared
        }
        if fields.name.casefold() in taken_names:
            raise PersonaNameTaken(fields.name)
        row.name, row.description = fields.name, fields.description
        row.system_prompt, row.shared = fields.system_prompt, fields.shared
        row.temperature, row.max_tokens = fields.temperature, fields.max_tokens
        row.updated_at = self._now()


def _get_editable_row(session: Session, caller: Caller, persona_id: str, *, is_admin: bool) -> Row:
    if any(persona.id == persona_id for persona in BUILT_IN_PERSONAS):
        raise PersonaNotEditable
    row = store.find_persona(session, caller.tenant_id, caller.user_id, persona_id)
    if row is None:
        raise PersonaNotFound
    if row.shared and not is_admin:
        raise PersonaNotEditable
    return row


def _to_persona(row: Row) -> Persona:
    return Persona(
        row.id,
        row.name,
        row.description,
        row.system_prompt,
        row.temperature,
        row.max_tokens,
        shared=row.shared,
    )
