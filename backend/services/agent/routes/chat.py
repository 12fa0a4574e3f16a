"""The bodies of OpenAI's chat completions, as far as we speak them."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from backend.security import WholeNumber
from backend.services.agent.domain.completions import Chat
from backend.services.agent.domain.events import Said


class Lenient(BaseModel):
    """Clients send fields that we do not know; the interface asks to ignore them."""

    model_config = ConfigDict(
        strict=True, extra="ignore", allow_inf_nan=False, frozen=True, hide_input_in_errors=True
    )


def _text_alone(content: object) -> object:
    """Say so in one sentence if a message holds an image or the like."""
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            raise ValueError(f"Only text is read here. Leave out the part of type {kind[:40]!r}.")
    return content


class Part(Lenient):
    """A piece of a message; only text is read."""

    type: Literal["text"]
    text: Annotated[str, Field(max_length=100_000)]


_WISHES: Final = {
    "frequency_penalty",
    "presence_penalty",
    "response_format",
    "seed",
    "stop",
    "top_p",
}


def _json_object(text: str) -> str:
    if not text:  # how some servers call a tool without arguments
        return "{}"
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise ValueError("The arguments of a call are a JSON object, written as text.")
    return text


class CalledFunction(Lenient):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    arguments: Annotated[
        str,
        Field(max_length=100_000, json_schema_extra={"contentMediaType": "application/json"}),
        AfterValidator(_json_object),
    ]


class ToolCall(Lenient):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["function"] = "function"
    function: CalledFunction


_OF_A_TOOL: JsonDict = {
    "if": {"properties": {"role": {"const": "tool"}}},
    "then": {
        "properties": {"tool_call_id": {"type": "string"}},
        "required": ["tool_call_id"],
    },
}


class ChatMessage(Lenient):
    """A message; a tool's says which call it answers."""

    model_config = ConfigDict(json_schema_extra=_OF_A_TOOL)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        Annotated[str, Field(max_length=100_000)]
        | Annotated[list[Part], Field(max_length=100)]
        | None,
        BeforeValidator(_text_alone),
    ] = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=64)] | None = None
    tool_call_id: Annotated[str, Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def _answers_a_call(self) -> Self:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("A message of a tool needs a tool_call_id.")
        return self

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""

    def plain(self) -> dict[str, Any]:
        """The message as OpenAI writes it, of known fields alone."""
        role = "system" if self.role == "developer" else self.role
        message: dict[str, Any] = {"role": role, "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


class Function(Lenient):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    description: Annotated[str, Field(max_length=4_096)] | None = None
    parameters: dict[str, Any] | None = None


class ClientTool(Lenient):
    type: Literal["function"]
    function: Function


Stop = Annotated[str, Field(min_length=1, max_length=200)]


class StreamOptions(Lenient):
    include_usage: bool = False


class ResponseFormat(Lenient):
    """Text, any JSON object, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("A json_schema goes with the type json_schema, and with no other.")
        return self


class ChatRequest(Lenient):
    """A chat to complete."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=500)]
    model: Annotated[str, Field(max_length=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768), WholeNumber] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=32_768), WholeNumber] | None = None
    tools: Annotated[list[ClientTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    n: Annotated[int, Field(ge=1, le=1, description="One answer is given.")] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: int | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    response_format: ResponseFormat | None = None

    def chat(self) -> Chat:
        """The chat in the domain's words."""
        return Chat(
            messages=[message.plain() for message in self.messages],
            history=_history(self.messages),
            tools=[tool.model_dump(exclude_none=True) for tool in self.tools or ()],
            tool_choice=self.tool_choice,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            wishes=self._wishes(),
        )

    def _wishes(self) -> dict[str, Any]:
        """What else is asked of the model, as OpenAI writes it."""
        chosen = self.model_dump(include=_WISHES, exclude_none=True)
        if isinstance(self.stop, str):
            chosen["stop"] = [self.stop]
        if self.response_format is not None and self.response_format.type == "text":
            del chosen["response_format"]
        return chosen

    @property
    def with_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def _history(messages: Sequence[ChatMessage]) -> list[Said]:
    roles = {"developer": "system"}
    return [
        Said(roles.get(message.role, message.role), message.text)
        for message in messages
        if message.role != "tool" and message.text
    ]


def call_shape(call_id: str, name: str, arguments: object) -> dict[str, Any]:
    """A tool call as OpenAI writes it: its arguments are JSON within JSON."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}
