"""Routes for personas."""

from collections.abc import Sequence
from typing import Annotated, Self

from flask import Blueprint
from pydantic import BaseModel, Field, StringConstraints

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import (
    Input,
    JsonInteger,
    Permission,
    current_principal,
    require_permission,
    validate_input,
)
from backend.services.agent.domain.personas import Persona, PersonaFields, PersonaService
from backend.services.agent.errors import (
    PersonaNameTaken,
    PersonaNotEditable,
    PersonaNotFound,
    TooManyPersonas,
)
from backend.services.agent.routes.request_caller import get_caller

bp = Blueprint("personas", __name__)


class PersonaRequest(Input):
    """Fields of a persona. `shared` makes it available to the tenant and requires `users:write`."""

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
    max_tokens: Annotated[int, Field(ge=1, le=32_768), JsonInteger] | None = None
    shared: bool = False

    def to_fields(self) -> PersonaFields:
        return PersonaFields(**self.model_dump())


class PersonaResponse(BaseModel):
    """A persona. Requests select it with `persona`, by id or by name."""

    id: str
    name: str
    description: str
    system_prompt: str
    temperature: float | None
    max_tokens: int | None
    shared: bool
    built_in: bool

    @classmethod
    def from_persona(cls, persona: Persona) -> Self:
        return cls.model_validate(persona, from_attributes=True)


class PersonaListResponse(BaseModel):
    """The built-in personas, then shared ones of the tenant and the caller's own."""

    items: Sequence[PersonaResponse]
    next_cursor: None = None


@bp.get("/personas")
@require_permission(Permission.AGENT_QUERY)
@responds_with(PersonaListResponse)
def list_personas() -> PersonaListResponse:
    """List the personas that the caller can use."""
    return PersonaListResponse(
        items=[
            PersonaResponse.from_persona(persona)
            for persona in use(PersonaService).list_personas(get_caller())
        ]
    )


@bp.post("/personas")
@require_permission(Permission.AGENT_QUERY)
@validate_input(PersonaRequest)
@responds_with(PersonaResponse, 201, errors=(PersonaNotEditable, PersonaNameTaken, TooManyPersonas))
@request_example(
    {
        "name": "editor",
        "description": "Short and formal answers.",
        "system_prompt": "Answer in at most three formal sentences.",
    }
)
def create_persona(body: PersonaRequest) -> PersonaResponse:
    """Create a persona of the caller, or a shared persona of the tenant."""
    persona = use(PersonaService).create_persona(
        get_caller(), body.to_fields(), is_admin=_is_admin()
    )
    return PersonaResponse.from_persona(persona)


@bp.get("/personas/<persona_id>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(PersonaResponse, errors=(PersonaNotFound,))
def get_persona(persona_id: str) -> PersonaResponse:
    """Get a persona."""
    return PersonaResponse.from_persona(use(PersonaService).get_persona(get_caller(), persona_id))


@bp.put("/personas/<persona_id>")
@require_permission(Permission.AGENT_QUERY)
@validate_input(PersonaRequest)
@responds_with(PersonaResponse, errors=(PersonaNotFound, PersonaNotEditable, PersonaNameTaken))
@request_example(
    {"name": "editor", "system_prompt": "Answer in one formal sentence.", "temperature": 0.2}
)
def update_persona(body: PersonaRequest, persona_id: str) -> PersonaResponse:
    """Replace a persona. Omitted fields are reset to their defaults."""
    persona = use(PersonaService).update_persona(
        get_caller(), persona_id, body.to_fields(), is_admin=_is_admin()
    )
    return PersonaResponse.from_persona(persona)


@bp.delete("/personas/<persona_id>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(status=204, errors=(PersonaNotFound, PersonaNotEditable))
def delete_persona(persona_id: str) -> None:
    """Delete a persona. Answers that used it are kept."""
    use(PersonaService).delete_persona(get_caller(), persona_id, is_admin=_is_admin())


def _is_admin() -> bool:
    return Permission.USERS_WRITE in current_principal().permissions
