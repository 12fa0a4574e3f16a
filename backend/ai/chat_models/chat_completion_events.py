"""Streamed responses of OpenAI's chat completions API.

https://platform.openai.com/docs/api-reference/chat-streaming,
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from backend.ai.chat_models.checked_chat_model import FINISH_REASON
from backend.ai.chat_models.errors import InvalidModelResponse, ModelUnavailable

_END: Final = b"[DONE]"
_MAX_EVENT_BYTES: Final = 16 * 2**20


class EventReader:
    """Splits the bytes of a response into its JSON documents.

    Args:
        content_type: header of the response. Some servers ignore that a stream was requested, and
            send one document.

    Attributes:
        has_ended: True after the event that ends a response.
    """

    def __init__(self, content_type: str) -> None:
        self.has_ended = False
        self._is_document = content_type.startswith("application/json")
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, received: bytes) -> list[dict[str, Any]]:
        """Return the documents that *received* completes.

        Raises:
            InvalidModelResponse: an event is too large, or no JSON object.
            ModelUnavailable: the server sent an error.
        """
        self._buffer += received
        if len(self._buffer) > _MAX_EVENT_BYTES:
            raise _invalid_response()
        if self._is_document or b"\n" not in received:
            return []
        lines = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(lines.pop())
        return [_parse_document(data) for data in self._iterate_events(lines)]

    def finish(self) -> list[dict[str, Any]]:
        """Return the document of a response that is no event stream. Raises as `feed` does."""
        return [_parse_document(bytes(self._buffer))] if self._is_document else []

    def _iterate_events(self, lines: list[bytes]) -> Iterator[bytes]:
        """Yield the data of the events that end in *lines*, until the end of the response."""
        for untrimmed in lines:
            line = untrimmed.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._data_bytes += len(line)
                if self._data_bytes > _MAX_EVENT_BYTES:
                    raise _invalid_response()
            elif not line and self._data and not self.has_ended:
                data, self._data, self._data_bytes = b"\n".join(self._data), [], 0
                if data.strip() == _END:
                    self.has_ended = True
                else:
                    yield data


def get_text(document: dict[str, Any]) -> str | None:
    """Return the text of a chunk that contains nothing but text, otherwise None."""
    choices = document.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or document.get("usage"):
        return None
    choice = choices[0]
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict) or choice.get("finish_reason") or delta.get("tool_calls"):
        return None
    text = delta.get("content")
    return text if isinstance(text, str) and text else None


def convert_chunk(document: dict[str, Any]) -> ChatGenerationChunk | None:
    """Return the message chunk of *document*, or None if it contains nothing for a message.

    Raises:
        InvalidModelResponse: *document* is no chunk of a response.
    """
    try:
        return _convert_chunk(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _invalid_response() from error


def build_text_chunk(text: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def _convert_chunk(document: dict[str, Any]) -> ChatGenerationChunk | None:
    usage = document.get("usage")
    choice: dict[str, Any] = next(iter(document.get("choices") or ()), {})
    delta = choice.get("delta") or choice.get("message") or {}
    reason = choice.get("finish_reason")
    calls = [_convert_call(call) for call in delta.get("tool_calls") or ()]
    if not (delta or usage or reason):
        return None
    message = AIMessageChunk(
        content=delta.get("content") or "",
        tool_call_chunks=calls,
        usage_metadata=_convert_usage(usage) if usage else None,
    )
    if reason:
        message.response_metadata = {FINISH_REASON: reason, "model_name": document.get("model")}
    return ChatGenerationChunk(message=message)


def _convert_call(call: dict[str, Any]) -> ToolCallChunk:
    function = call.get("function") or {}
    return tool_call_chunk(
        name=function.get("name"),
        args=function.get("arguments"),
        id=call.get("id"),
        # Servers that send complete calls can omit the number.
        index=call.get("index"),
    )


def _convert_usage(usage: dict[str, Any]) -> UsageMetadata:
    prompt_tokens = int(usage.get("prompt_tokens") or 0)
    completion_tokens = int(usage.get("completion_tokens") or 0)
    return UsageMetadata(
        input_tokens=prompt_tokens,
        output_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )


def _parse_document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _invalid_response() from error
    if not isinstance(document, dict):
        raise _invalid_response()
    if document.get("error"):
        raise ModelUnavailable("The model server reported an error during its response.")
    return document


def _invalid_response() -> InvalidModelResponse:
    return InvalidModelResponse("The model server sent a response that is not valid.")
