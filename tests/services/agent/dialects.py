"""Scripted models that speak Ollama's and Anthropic's own protocols.

https://github.com/ollama/ollama/blob/main/docs/api.md,
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from tests.services.agent.stand_ins import Door, Reply, ScriptedModel

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def _words(text: str) -> Iterator[str]:
    for number, word in enumerate(text.split()):
        yield f" {word}" if number else word


class OllamaServer(ScriptedModel):
    """Answers at /api/chat, one JSON document a line."""

    wire = "ollama"

    def error(self) -> dict[str, Any]:
        return {"error": "no"}

    def _stream(self, door: Door, reply: Reply) -> None:
        door.begin("application/x-ndjson")
        for message in self._messages(reply):
            door.chunk(_line({"message": message, "done": False}))
            time.sleep(reply.pause)
        if reply.break_off:
            door.break_off()
        elif reply.error_midway:
            door.chunk(json.dumps({"error": "an error was encountered"}).encode() + b"\n")
            door.end()
        else:
            self._end(door, reply)

    def _end(self, door: Door, reply: Reply) -> None:
        last = {"message": {"role": "assistant", "content": ""}, "done": True}
        # Ollama says "stop" also where tools are called.
        last["done_reason"] = "length" if reply.reason == "length" else "stop"
        usage = {"prompt_eval_count": 11, "eval_count": 7} if reply.usage else {}
        door.chunk(_line(last | usage | {"total_duration": 5, "eval_duration": 3}))
        door.end()

    def _messages(self, reply: Reply) -> Iterator[dict[str, Any]]:
        for word in _words(reply.text):
            yield {"role": "assistant", "content": word}
        if reply.calls:
            calls = [{"function": {"name": n, "arguments": a}} for n, a in reply.calls]
            yield {"role": "assistant", "content": "", "tool_calls": calls}


def _line(document: dict[str, Any]) -> bytes:
    head = {"model": "scripted", "created_at": "2026-01-01T00:00:00.000000Z"}
    return json.dumps(head | document).encode() + b"\n"


class AnthropicServer(ScriptedModel):
    """Answers at /v1/messages with named events."""

    wire = "anthropic"

    def error(self) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "api_error", "message": "no"}}

    def _stream(self, door: Door, reply: Reply) -> None:
        door.begin("text/event-stream")
        usage = {"input_tokens": 11, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        message |= {"model": "scripted", "stop_reason": None, "stop_sequence": None}
        door.chunk(_event("message_start", message=message | {"usage": usage}))
        door.chunk(_event("ping"))
        for index, (block, deltas) in enumerate(self._blocks(reply)):
            door.chunk(_event("content_block_start", index=index, content_block=block))
            for delta in deltas:
                door.chunk(_event("content_block_delta", index=index, delta=delta))
                time.sleep(reply.pause)
            door.chunk(_event("content_block_stop", index=index))
        if reply.break_off:
            door.break_off()
        elif reply.error_midway:
            door.chunk(_event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
            door.end()
        else:
            ended = {"stop_reason": _REASONS[reply.reason], "stop_sequence": None}
            door.chunk(_event("message_delta", delta=ended, usage=usage | {"output_tokens": 7}))
            door.chunk(_event("message_stop"))
            door.end()

    def _blocks(self, reply: Reply) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        if reply.text:
            deltas = [{"type": "text_delta", "text": word} for word in _words(reply.text)]
            yield {"type": "text", "text": ""}, deltas
        for number, (name, arguments) in enumerate(reply.calls):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            halves = [text[: len(text) // 2], text[len(text) // 2 :]]
            call_id = f"toolu_{len(self.requests)}_{number}"
            yield (
                {"type": "tool_use", "id": call_id, "name": name, "input": {}},
                [{"type": "input_json_delta", "partial_json": half} for half in halves],
            )


def _event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()
