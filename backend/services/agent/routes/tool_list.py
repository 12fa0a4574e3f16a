"""Routes that list the available tools and models."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission
from backend.services.agent.domain.tool_list import ToolListService
from backend.services.agent.routes.request_caller import get_caller

bp = Blueprint("catalogue", __name__)


class ToolResponse(BaseModel):
    """A tool. Calls of tools with side effects require the user's approval.

    `parameters` is the JSON schema of the arguments. `source` is `suite`, `service:<name>` or
    `mcp:<server>`.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    side_effects: bool
    source: str


class ToolListResponse(BaseModel):
    """The tools that the caller may use."""

    items: Sequence[ToolResponse]
    next_cursor: None = None


class ModelPrice(BaseModel):
    """Price of a million tokens, in the currency of the setting LLM_PRICES."""

    input: float
    output: float


class ModelResponse(BaseModel):
    """A model, which requests select by its id.

    `context_tokens` and `price` are null if unknown. Models with the capability `writing` formulate
    answers; models with `quoting` answer only with quotes from documents.
    """

    id: str
    provider: str
    default: bool
    context_tokens: int | None
    capabilities: Sequence[str]
    price: ModelPrice | None


class ModelListResponse(BaseModel):
    """The configured models."""

    items: Sequence[ModelResponse]
    next_cursor: None = None


@bp.get("/tools")
@require_permission(Permission.AGENT_QUERY)
@responds_with(ToolListResponse)
def list_tools() -> ToolListResponse:
    """List the tools that the agent can call for the caller.

    Tools that the caller has no permission for are omitted.
    """
    return ToolListResponse(
        items=[
            ToolResponse(
                name=tool.name,
                description=tool.description,
                parameters=tool.arguments.json_schema,
                side_effects=tool.side_effects,
                source=tool.source,
            )
            for tool in use(ToolListService).list_tools(get_caller())
        ]
    )


@bp.get("/models")
@require_permission(Permission.AGENT_QUERY)
@responds_with(ModelListResponse)
def list_models() -> ModelListResponse:
    """List the configured models, the default first."""
    return ModelListResponse(
        items=[
            ModelResponse(
                id=model.name,
                provider=model.provider,
                default=index == 0,
                context_tokens=model.context_tokens,
                capabilities=model.capabilities,
                price=_to_price(use(ToolListService).get_price(model.name)),
            )
            for index, model in enumerate(use(ToolListService).models)
        ]
    )


def _to_price(price: tuple[float, float] | None) -> ModelPrice | None:
    return None if price is None else ModelPrice(input=price[0], output=price[1])
