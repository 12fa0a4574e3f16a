"""Requests of OpenAI's chat completions API: messages, tools and the choice of a tool.

https://platform.openai.com/docs/api-reference/chat/create
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

_ROLES: Final = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (ToolMessage, "tool"),
)
# Other providers' messages also contain parts with tool calls and reasoning.
_CONTENT_TYPES: Final = frozenset({"text", "image_url", "input_audio", "file"})


def convert_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Return *messages* in the format of the API.

    Raises:
        TypeError: the API has no such kind of message.
    """
    return [_convert_message(message) for message in messages]


def convert_tool_choice(
    choice: dict[str, Any] | str | bool | None,
    tool_names: Sequence[str],
) -> dict[str, Any] | str | None:
    """Return LangChain's *choice*, which can be the name of a tool, in the format of the API."""
    if not choice:
        return None
    if choice is True or choice == "any":
        return "required"
    if isinstance(choice, str) and choice in tool_names:
        return {"type": "function", "function": {"name": choice}}
    return choice


def _convert_message(message: BaseMessage) -> dict[str, Any]:
    converted: dict[str, Any] = {
        "role": _get_role(message),
        "content": _convert_content(message.content),
    }
    if isinstance(message, ToolMessage):
        return converted | {"tool_call_id": message.tool_call_id}
    if message.name is not None:
        converted["name"] = message.name
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        converted["content"] = converted["content"] or None
        converted["tool_calls"] = [
            *(_convert_call(call, _to_json(call["args"])) for call in message.tool_calls),
            *(_convert_call(call, call["args"] or "") for call in message.invalid_tool_calls),
        ]
    return converted


def _get_role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    for message_class, role in _ROLES:
        if isinstance(message, message_class):
            return role
    raise TypeError(f"The chat completions API has no messages of the type {message.type!r}.")


def _convert_content(content: str | list[str | dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    parts = [part for part in parts if part.get("type") in _CONTENT_TYPES]
    # Some servers accept lists of parts in messages of users only.
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _convert_call(call: ToolCall | InvalidToolCall, arguments: str) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": arguments}
    return {"type": "function", "id": call["id"], "function": function}


def _to_json(arguments: dict[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)
