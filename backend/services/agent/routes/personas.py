"""Personas: list them, and make, change and delete one's own."""

from collections.abc import Sequence
from typing import Annotated, Self

from flask import Blueprint
from pydantic import BaseModel, Field, StringConstraints

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import (
    Input,
    Permission,
    WholeNumber,
    current_principal,
    require_permission,
    validate_input,
)
from backend.services.agent.domain.personas import Persona, Personas, Wish
from backend.services.agent.errors import (
    NotYourPersona,
    PersonaNameTaken,
    PersonaNotFound,
    TooManyPersonas,
)
from backend.services.agent.routes.callers import caller

bp = Blueprint("personas", __name__)


class PersonaBody(Input):
    """A persona; `shared` makes it everyone's in the tenant, which takes `users:write`."""

    name: Annotated[
        str,
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$"
        ),
        Field(examples=["pirate"]),
    ]
    system_prompt: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8_000)
    ]
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768), WholeNumber] | None = None
    shared: bool = False

    def wish(self) -> Wish:
        return Wish(**self.model_dump())


class PersonaShape(BaseModel):
    """A persona that the caller may name as `persona` in a request, by id or by name."""

    id: str
    name: str
    description: str
    system_prompt: str
    temperature: float | None
    max_tokens: int | None
    shared: bool
    built_in: bool

    @classmethod
    def of(cls, persona: Persona) -> Self:
        return cls.model_validate(persona, from_attributes=True)


class PersonaList(BaseModel):
    """The built-in personas, then the tenant's and the caller's own."""

    items: Sequence[PersonaShape]
    next_cursor: None = None


@bp.get("/personas")
@require_permission(Permission.AGENT_QUERY)
@answers(PersonaList)
def personas() -> PersonaList:
    """The personas that the caller may use."""
    return PersonaList(items=[PersonaShape.of(each) for each in use(Personas).listed(caller())])


@bp.post("/personas")
@require_permission(Permission.AGENT_QUERY)
@validate_input(PersonaBody)
@answers(PersonaShape, 201, errors=(NotYourPersona, PersonaNameTaken, TooManyPersonas))
def add_persona(body: PersonaBody) -> PersonaShape:
    """Make a persona of one's own, or of the tenant."""
    made = use(Personas).add(caller(), body.wish(), administers=_administers())
    return PersonaShape.of(made)


@bp.get("/personas/<persona_id>")
@require_permission(Permission.AGENT_QUERY)
@answers(PersonaShape, errors=(PersonaNotFound,))
def persona(persona_id: str) -> PersonaShape:
    """One persona."""
    return PersonaShape.of(use(Personas).one(caller(), persona_id))


@bp.put("/personas/<persona_id>")
@require_permission(Permission.AGENT_QUERY)
@validate_input(PersonaBody)
@answers(PersonaShape, errors=(PersonaNotFound, NotYourPersona, PersonaNameTaken))
def change_persona(body: PersonaBody, persona_id: str) -> PersonaShape:
    """Say anew what a persona is like; what is left out goes back to its default."""
    changed = use(Personas).change(caller(), persona_id, body.wish(), administers=_administers())
    return PersonaShape.of(changed)


@bp.delete("/personas/<persona_id>")
@require_permission(Permission.AGENT_QUERY)
@answers(status=204, errors=(PersonaNotFound, NotYourPersona))
def remove_persona(persona_id: str) -> None:
    """Delete a persona; answers that were given under it stay."""
    use(Personas).remove(caller(), persona_id, administers=_administers())


def _administers() -> bool:
    return Permission.USERS_WRITE in current_principal().permissions
