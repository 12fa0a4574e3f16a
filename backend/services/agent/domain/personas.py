"""Personas: how the agent answers, by a prompt, a temperature and a limit of tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from backend.chassis.database.sessions import Database, Session, take_turns
from backend.services.agent.clients.runs import Caller
from backend.services.agent.errors import (
    NotYourPersona,
    PersonaNameTaken,
    PersonaNotFound,
    TooManyPersonas,
    UnknownPersona,
)
from backend.services.agent.store import personas as store
from backend.services.agent.store.tables import Persona as Row

MOST_PERSONAS: Final = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What a persona shall be like; a shared one is everyone's in the tenant."""

    name: str
    system_prompt: str
    description: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Persona:
    """A persona as it is used and shown; a built-in one's id is its name."""

    id: str
    name: str
    description: str
    system_prompt: str
    temperature: float | None = None
    max_tokens: int | None = None
    shared: bool = False
    built_in: bool = False


BUILT_IN: Final = (
    Persona(
        "assistant",
        "assistant",
        "Helpful and to the point; right for most requests.",
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
        "Step by step, with numbers and what they rest on.",
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
        "Formal and concise, fit to be sent on.",
        "You write for business readers: formal, courteous, concise and well structured, without"
        " colloquialisms, so that the answer can be sent on as it is.",
        temperature=0.3,
        max_tokens=1_536,
        built_in=True,
    ),
)
# Who names no persona leaves the model as it is set up.
_NONE: Final = Persona("", "", "", "")


class Personas:
    """The built-in personas, the tenant's and the caller's own."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def listed(self, caller: Caller) -> Sequence[Persona]:
        """All that *caller* may use: the built-in ones first, then by name."""
        with self._database.read(caller.tenant_id) as session:
            rows = store.visible(session, caller.tenant_id, caller.user_id)
            return [*BUILT_IN, *map(_shown, rows)]

    def one(self, caller: Caller, persona_id: str) -> Persona:
        """The persona with this id, or PersonaNotFound."""
        for persona in self.listed(caller):
            if persona.id == persona_id:
                return persona
        raise PersonaNotFound

    def named(self, caller: Caller, wanted: str | None) -> Persona:
        """The persona whose id or name is *wanted*; the caller's own goes before the tenant's."""
        if wanted is None:
            return _NONE
        known = self.listed(caller)
        for persona in sorted(known, key=lambda each: each.shared):
            if wanted == persona.id or wanted.casefold() == persona.name.casefold():
                return persona
        raise UnknownPersona([each.name for each in known])

    def add(self, caller: Caller, wish: Wish, *, administers: bool) -> Persona:
        """Make a persona of the caller's own, or of the tenant if they administer it."""
        if wish.shared and not administers:
            raise NotYourPersona
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            take_turns(session, f"agent personas of {caller.tenant_id}")
            if store.count(session, caller.tenant_id, caller.user_id) >= MOST_PERSONAS:
                raise TooManyPersonas(MOST_PERSONAS)
            row = Row(
                id=f"persona_{uuid4().hex}",
                tenant_id=caller.tenant_id,
                owner_id=caller.user_id,
                created_at=now,
            )
            self._change(session, row, wish)
            session.add(row)
            return _shown(row)

    def change(self, caller: Caller, persona_id: str, wish: Wish, *, administers: bool) -> Persona:
        """Make a persona what *wish* says."""
        with self._database.write(caller.tenant_id) as session:
            take_turns(session, f"agent personas of {caller.tenant_id}")
            row = _changeable(session, caller, persona_id, administers=administers)
            if wish.shared and not administers:
                raise NotYourPersona
            self._change(session, row, wish)
            return _shown(row)

    def remove(self, caller: Caller, persona_id: str, *, administers: bool) -> None:
        """Delete a persona."""
        with self._database.write(caller.tenant_id) as session:
            session.delete(_changeable(session, caller, persona_id, administers=administers))

    def _change(self, session: Session, row: Row, wish: Wish) -> None:
        taken = {each.name for each in BUILT_IN}
        others = store.visible(session, row.tenant_id, row.owner_id)
        taken |= {
            each.name.casefold()
            for each in others
            if each.id != row.id and each.shared == wish.shared
        }
        if wish.name.casefold() in taken:
            raise PersonaNameTaken(wish.name)
        row.name, row.description = wish.name, wish.description
        row.system_prompt, row.shared = wish.system_prompt, wish.shared
        row.temperature, row.max_tokens = wish.temperature, wish.max_tokens
        row.updated_at = self._now()


def _changeable(session: Session, caller: Caller, persona_id: str, *, administers: bool) -> Row:
    if any(each.id == persona_id for each in BUILT_IN):
        raise NotYourPersona
    row = store.find(session, caller.tenant_id, caller.user_id, persona_id)
    if row is None:
        raise PersonaNotFound
    if row.shared and not administers:
        raise NotYourPersona
    return row


def _shown(row: Row) -> Persona:
    return Persona(
        row.id,
        row.name,
        row.description,
        row.system_prompt,
        row.temperature,
        row.max_tokens,
        shared=row.shared,
    )
