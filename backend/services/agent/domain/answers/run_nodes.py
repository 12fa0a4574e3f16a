"""States of the nodes of a run: inputs and outputs of its model and tool calls, bounded in size."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Literal

from backend.services.agent.model import ModelCallEnded, ToolCall, ToolEnded

NodeKind = Literal["request", "model", "tool", "answer"]

_MAX_STATE_BYTES: Final = 8_000
_MAX_RUN_BYTES: Final = 128_000
_MAX_NODES: Final = 100
# Lengths of texts that are tried one after the other, until the state is small enough.
_TEXT_LENGTHS: Final = (4_000, 1_000, 250, 60)
_MAX_ITEMS: Final = 40
_MAX_DEPTH: Final = 8
_MAX_KEY_CHARACTERS: Final = 100
_REDACTED: Final = "[redacted]"
# Names of arguments whose values are not shown; `max_tokens` is not one of them.
_SECRET_NAME: Final = re.compile(
    r"passw|secret|token(?!s)|api_?key|private_?key|authorization|credential|cookie", re.IGNORECASE
)
_SECRET_TEXT: Final = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{16,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NodeState:
    """State of one node of a run.

    Attributes:
        name: name of the model or tool; "" for the request and the answer.
        status: `ok`, `refused`, `error`, or the code of the error that ended a model call.
        inputs, outputs: JSON values; None if there are none or they are omitted.
        is_truncated: whether texts or items were removed.
    """

    kind: NodeKind
    name: str
    status: str
    took_ms: int | None
    inputs: Any
    outputs: Any
    is_truncated: bool = False


@dataclass(slots=True)
class NodeRecorder:
    """The nodes of a run so far, as JSON objects of at most 128,000 bytes in total."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    _bytes: int = 0

    def add_model_call(self, ended: ModelCallEnded) -> None:
        """Add a model call with the messages and tools that the model received."""
        self._add(
            "model",
            ended.model,
            ended.error or "ok",
            ended.took_ms,
            {"messages": ended.messages, "tools": ended.tools},
            None if ended.error else {"text": ended.text, "tool_calls": _list_calls(ended.calls)},
        )

    def add_tool_call(self, ended: ToolEnded) -> None:
        """Add a tool call with its arguments and its result."""
        call, result = ended.call, ended.result
        self._add("tool", call.tool, result.status, ended.took_ms, *get_tool_state(ended))

    def _add(
        self,
        kind: NodeKind,
        name: str,
        status: str,
        took_ms: int,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any] | None,
    ) -> None:
        if len(self.nodes) >= _MAX_NODES:
            return
        node = {"kind": kind, "name": name[:128], "status": status, "took_ms": took_ms}
        node |= bound_states(inputs, outputs)
        size = len(json.dumps(node))
        if self._bytes + size > _MAX_RUN_BYTES:
            node |= {"inputs": None, "outputs": None, "is_truncated": True}
            size = len(json.dumps(node))
        self._bytes += size
        self.nodes.append(node)


def get_tool_state(ended: ToolEnded) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the inputs and outputs of a tool call. The content has the texts of the chunks."""
    result = ended.result
    chunks = [
        {
            "document_id": chunk.document_id,
            "filename": chunk.filename,
            "page": chunk.page,
            "score": chunk.score,
        }
        for chunk in result.chunks
    ]
    outputs = {"content": result.content, "chunks": chunks, "identifiers": result.identifiers}
    return dict(ended.call.arguments), {name: value for name, value in outputs.items() if value}


def bound_states(inputs: Any, outputs: Any) -> dict[str, Any]:
    """Return the fields of a node's state without secrets, each of at most 8,000 bytes."""
    bounded_inputs, inputs_truncated = _bound_json(inputs)
    bounded_outputs, outputs_truncated = _bound_json(outputs)
    return {
        "inputs": bounded_inputs,
        "outputs": bounded_outputs,
        "is_truncated": inputs_truncated or outputs_truncated,
    }


def _list_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [{"tool": call.tool, "arguments": dict(call.arguments)} for call in calls]


def _bound_json(value: Any) -> tuple[Any, bool]:
    """Return *value* as small enough JSON, and whether parts of it were removed."""
    for max_characters in _TEXT_LENGTHS:
        shortener = _Shortener(max_characters)
        shortened = shortener.shorten(value)
        if len(json.dumps(shortened)) <= _MAX_STATE_BYTES:
            return shortened, shortener.has_removed
    return None, True


class _Shortener:
    """Copies JSON values without secrets, long texts, further items and deep levels."""

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self.has_removed = False

    def shorten(self, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            # A model may write NaN or infinity, which JSON columns reject.
            return value if isfinite(value) else str(value)
        if isinstance(value, str):
            return self._shorten_text(value)
        if depth >= _MAX_DEPTH:
            self.has_removed = True
            return "…"
        if isinstance(value, Mapping):
            items = self._select_items(list(value.items()))
            return {
                str(name)[:_MAX_KEY_CHARACTERS]: (
                    _REDACTED
                    if _SECRET_NAME.search(str(name)) and isinstance(item, str)
                    else self.shorten(item, depth + 1)
                )
                for name, item in items
            }
        if isinstance(value, Sequence):
            return [self.shorten(item, depth + 1) for item in self._select_items(value)]
        return self._shorten_text(str(value))

    def _select_items(self, items: Sequence[Any]) -> Sequence[Any]:
        """Return the first and the last items: the first message is the system prompt."""
        if len(items) <= _MAX_ITEMS:
            return items
        self.has_removed = True
        return [items[0], *items[1 - _MAX_ITEMS :]]

    def _shorten_text(self, text: str) -> str:
        text = _SECRET_TEXT.sub(rf"\1 {_REDACTED}", text)
        if len(text) <= self._max_characters:
            return text
        self.has_removed = True
        return f"{text[: self._max_characters]}…"
