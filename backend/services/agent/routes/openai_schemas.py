"""Request schemas of OpenAI's chat completions API, with the supported fields."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from backend.ai.chat_models.json_objects import parse_json_object
from backend.security import FiniteNumbers, JsonInteger, has_visible_character, invalid_field
from backend.services.agent.domain.answers.completions import Chat
from backend.services.agent.domain.answers.events import HistoryMessage


class LenientInput(BaseModel):
    """Base of request schemas that ignore unknown fields, as OpenAI's API does."""

    model_config = ConfigDict(
        strict=True, extra="ignore", allow_inf_nan=False, frozen=True, hide_input_in_errors=True
    )


def _reject_unsupported_parts(content: object) -> object:
    """Reject images and other content with one clear message."""
    for part in content if isinstance(content, list) else ():
        part_type = part.get("type") if isinstance(part, dict) else None
        if isinstance(part_type, str) and part_type not in {"text", "refusal"}:
            raise ValueError(f"Only text is supported. Remove the part of type {part_type[:40]!r}.")
    return content


PartText = Annotated[str, Field(max_length=100_000)]


class TextPart(LenientInput):
    """A part of a message: text."""

    type: Literal["text"]
    text: PartText


class RefusalPart(LenientInput):
    """A part of an assistant message: its refusal of a request."""

    type: Literal["refusal"]
    refusal: PartText

    @property
    def text(self) -> str:
        return self.refusal


_MODEL_PARAMETERS: Final = {
    "frequency_penalty",
    "presence_penalty",
    "response_format",
    "seed",
    "stop",
    "top_p",
}


def _validate_json_object(text: str) -> str:
    if not text:  # some servers write a call without arguments like this
        return "{}"
    try:
        parse_json_object(text)
    except ValueError:
        raise ValueError(
            "The arguments of a call must be a JSON object with finite numbers, serialized as a "
            "string."
        ) from None
    return text


class CalledFunction(LenientInput):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    arguments: Annotated[
        str,
        Field(max_length=100_000, json_schema_extra={"contentMediaType": "application/json"}),
        AfterValidator(_validate_json_object),
    ]


class ToolCall(LenientInput):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["function"] = "function"
    function: CalledFunction


_TOOL_MESSAGE_SCHEMA: JsonDict = {
    "if": {"properties": {"role": {"const": "tool"}}},
    "then": {
        "properties": {"tool_call_id": {"type": "string"}},
        "required": ["tool_call_id"],
    },
}


class ChatMessage(LenientInput):
    """A message. Messages with the role `tool` require `tool_call_id`."""

    model_config = ConfigDict(json_schema_extra=_TOOL_MESSAGE_SCHEMA)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        Annotated[str, Field(max_length=100_000)]
        | Annotated[list[TextPart | RefusalPart], Field(max_length=100)]
        | None,
        BeforeValidator(_reject_unsupported_parts),
    ] = None
    refusal: PartText | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=64)] | None = None
    tool_call_id: Annotated[str, Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def _require_tool_call_id(self) -> Self:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("A message with the role tool requires tool_call_id.")
        return self

    @model_validator(mode="after")
    def _reject_refusals_of_others(self) -> Self:
        parts = self.content if isinstance(self.content, list) else ()
        has_refusal = bool(self.refusal) or any(isinstance(part, RefusalPart) for part in parts)
        if has_refusal and self.role != "assistant":
            raise ValueError("Only a message with the role assistant can contain a refusal.")
        return self

    @property
    def text(self) -> str:
        """The content of the message, or the refusal of an assistant without content."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or self.refusal or ""

    def to_openai(self) -> dict[str, Any]:
        """Return the message in OpenAI's format, with known fields only."""
        role = "system" if self.role == "developer" else self.role
        message: dict[str, Any] = {"role": role, "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


class FunctionDefinition(LenientInput):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    description: Annotated[str, Field(max_length=4_096)] | None = None
    parameters: Annotated[dict[str, Any], FiniteNumbers] | None = None


class ClientTool(LenientInput):
    type: Literal["function"]
    function: FunctionDefinition


class ChosenFunction(LenientInput):
    name: Annotated[str, Field(min_length=1, max_length=128)]


class ToolChoice(LenientInput):
    """The one tool that the model must call."""

    type: Literal["function"]
    function: ChosenFunction


Stop = Annotated[str, Field(min_length=1, max_length=200)]


class StreamOptions(LenientInput):
    include_usage: bool = False


class ResponseFormat(LenientInput):
    """Format of the answer: text, a JSON object, or JSON that matches a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Annotated[dict[str, Any], FiniteNumbers] | None = None

    @model_validator(mode="after")
    def _require_matching_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError(
                "json_schema is required for the type json_schema, and not allowed for other types."
            )
        return self


def _reject_log_probabilities(requested: bool) -> bool:
    if requested:
        raise ValueError("Log probabilities are not supported. Omit logprobs.")
    return requested


class ChatRequest(LenientInput):
    """A chat completion request.

    It needs a question: a last user message with visible text, or results of tool calls after it.
    Not supported, and rejected, are: several choices, log probabilities, and parts of messages
    other than text and refusals. `response_format` is rejected for models that do not support it.
    Other unknown fields are ignored.
    """

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=500)]
    model: Annotated[str, Field(max_length=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768), JsonInteger] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=32_768), JsonInteger] | None = None
    tools: Annotated[list[ClientTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    n: Annotated[int, Field(ge=1, le=1, description="Only one choice is supported.")] | None = None
    logprobs: Annotated[bool, AfterValidator(_reject_log_probabilities)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: int | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    response_format: ResponseFormat | None = None

    def to_chat(self) -> Chat:
        """Convert the request to a domain object.

        Raises:
            HttpError: 422, because the messages contain no question, or the chosen tool is not
                among the tools.
        """
        _require_question(self.messages)
        _require_chosen_tool(self.tool_choice, self.tools or ())
        return Chat(
            messages=[message.to_openai() for message in self.messages],
            history=_to_history(self.messages),
            tools=[tool.model_dump(exclude_none=True) for tool in self.tools or ()],
            tool_choice=(
                self.tool_choice.model_dump()
                if isinstance(self.tool_choice, ToolChoice)
                else self.tool_choice
            ),
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            model_parameters=self._get_model_parameters(),
        )

    def _get_model_parameters(self) -> dict[str, Any]:
        """Return the optional model parameters in OpenAI's format."""
        parameters = self.model_dump(include=_MODEL_PARAMETERS, exclude_none=True)
        if isinstance(self.stop, str):
            parameters["stop"] = [self.stop]
        if self.response_format is not None and self.response_format.type == "text":
            del parameters["response_format"]
        return parameters

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def _require_chosen_tool(choice: str | ToolChoice | None, tools: Sequence[ClientTool]) -> None:
    if isinstance(choice, ToolChoice) and not any(
        tool.function.name == choice.function.name for tool in tools
    ):
        raise invalid_field(
            "#/tool_choice/function/name",
            "No tool of the request has this name. Add the tool, or choose another one.",
        )


def _require_question(messages: Sequence[ChatMessage]) -> None:
    """Reject a conversation that ends neither with a question nor with the result of a tool call.

    Raises:
        HttpError: 422 with a pointer to the question, or to the messages if there is none.
    """
    for index, message in reversed(list(enumerate(messages))):
        if message.role == "tool":
            return
        if message.role == "user":
            if not has_visible_character(message.text):
                raise invalid_field(
                    f"#/messages/{index}/content",
                    "The question has no visible character. Write at least one.",
                )
            return
    raise invalid_field("#/messages", "The messages contain no question: add one of the role user.")


def _to_history(messages: Sequence[ChatMessage]) -> list[HistoryMessage]:
    roles = {"developer": "system"}
    return [
        HistoryMessage(roles.get(message.role, message.role), message.text)
        for message in messages
        if message.role != "tool" and message.text
    ]


def format_tool_call(call_id: str, name: str, arguments: object) -> dict[str, Any]:
    """Return a tool call in OpenAI's format, with the arguments as a JSON string."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}
