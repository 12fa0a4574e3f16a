"""What the caller's agent may use: tools and models."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Permission, require_permission
from backend.services.agent.domain.catalogue import Catalogue
from backend.services.agent.routes.callers import caller

bp = Blueprint("catalogue", __name__)


class ToolShape(BaseModel):
    """A tool; one with side effects waits for a person's approval before it runs.

    `parameters` is the JSON schema of its arguments; `source` is suite, or who else brings it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    side_effects: bool
    source: str


class ToolList(BaseModel):
    """All tools."""

    items: Sequence[ToolShape]
    next_cursor: None = None


class ModelShape(BaseModel):
    """A model that may be asked for by its id.

    `context_tokens` is null where it is not known. One that has `writing` among its capabilities
    answers in words of its own; one that has `quoting` in words of the documents alone.
    """

    id: str
    provider: str
    default: bool
    context_tokens: int | None
    capabilities: Sequence[str]


class ModelList(BaseModel):
    """All models."""

    items: Sequence[ModelShape]
    next_cursor: None = None


@bp.get("/tools")
@require_permission(Permission.AGENT_QUERY)
@answers(ToolList)
def tools() -> ToolList:
    """The tools that the agent may call for the caller; those it may not are left out."""
    return ToolList(
        items=[
            ToolShape(
                name=tool.name,
                description=tool.description,
                parameters=tool.arguments.schema,
                side_effects=tool.side_effects,
                source=tool.source,
            )
            for tool in use(Catalogue).tools(caller())
        ]
    )


@bp.get("/models")
@require_permission(Permission.AGENT_QUERY)
@answers(ModelList)
def models() -> ModelList:
    """The models that may be asked, the default first."""
    return ModelList(
        items=[
            ModelShape(
                id=model.name,
                provider=model.provider,
                default=index == 0,
                context_tokens=model.context_tokens,
                capabilities=model.capabilities,
            )
            for index, model in enumerate(use(Catalogue).models)
        ]
    )
