"""Scripted models with the protocols of Ollama and Anthropic.

https://github.com/ollama/ollama/blob/main/docs/api.md,
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from tests.services.agent.fakes import FakeRequestHandler, Reply, ScriptedModel

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def _split_words(text: str) -> Iterator[str]:
    for number, word in enumerate(text.split()):
        yield f" {word}" if number else word


class OllamaServer(ScriptedModel):
    """Serves /api/chat: one JSON document per line."""

    protocol = "ollama"

    def build_error(self) -> dict[str, Any]:
        return {"error": "no"}

    def _stream(self, handler: FakeRequestHandler, reply: Reply) -> None:
        handler.start_chunked("application/x-ndjson")
        for message in self._build_messages(reply):
            handler.send_chunk(_to_line({"message": message, "done": False}))
            time.sleep(reply.pause_seconds)
        if reply.disconnects:
            handler.disconnect()
        elif reply.sends_error_event:
            handler.send_chunk(json.dumps({"error": "an error was encountered"}).encode() + b"\n")
            handler.end_chunked()
        else:
            self._send_end(handler, reply)

    def _send_end(self, handler: FakeRequestHandler, reply: Reply) -> None:
        last = {"message": {"role": "assistant", "content": ""}, "done": True}
        # Ollama reports "stop" for tool calls too.
        last["done_reason"] = "length" if reply.reason == "length" else "stop"
        usage = {"prompt_eval_count": 11, "eval_count": 7} if reply.reports_usage else {}
        handler.send_chunk(_to_line(last | usage | {"total_duration": 5, "eval_duration": 3}))
        handler.end_chunked()

    def _build_messages(self, reply: Reply) -> Iterator[dict[str, Any]]:
        for word in _split_words(reply.text):
            yield {"role": "assistant", "content": word}
        if reply.calls:
            calls = [{"function": {"name": n, "arguments": a}} for n, a in reply.calls]
            yield {"role": "assistant", "content": "", "tool_calls": calls}


def _to_line(document: dict[str, Any]) -> bytes:
    head = {"model": "scripted", "created_at": "2026-01-01T00:00:00.000000Z"}
    return json.dumps(head | document).encode() + b"\n"


class AnthropicServer(ScriptedModel):
    """Serves /v1/messages: named server-sent events."""

    protocol = "anthropic"

    def build_error(self) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "api_error", "message": "no"}}

    def _stream(self, handler: FakeRequestHandler, reply: Reply) -> None:
        handler.start_chunked("text/event-stream")
        usage = {"input_tokens": 11, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        message |= {"model": "scripted", "stop_reason": None, "stop_sequence": None}
        handler.send_chunk(_to_sse("message_start", message=message | {"usage": usage}))
        handler.send_chunk(_to_sse("ping"))
        for index, (block, deltas) in enumerate(self._build_blocks(reply)):
            handler.send_chunk(_to_sse("content_block_start", index=index, content_block=block))
            for delta in deltas:
                handler.send_chunk(_to_sse("content_block_delta", index=index, delta=delta))
                time.sleep(reply.pause_seconds)
            handler.send_chunk(_to_sse("content_block_stop", index=index))
        if reply.disconnects:
            handler.disconnect()
        elif reply.sends_error_event:
            handler.send_chunk(
                _to_sse("error", error={"type": "overloaded_error", "message": "Overloaded"})
            )
            handler.end_chunked()
        else:
            delta = {"stop_reason": _STOP_REASONS[reply.reason], "stop_sequence": None}
            handler.send_chunk(
                _to_sse("message_delta", delta=delta, usage=usage | {"output_tokens": 7})
            )
            handler.send_chunk(_to_sse("message_stop"))
            handler.end_chunked()

    def _build_blocks(self, reply: Reply) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        if reply.text:
            deltas = [{"type": "text_delta", "text": word} for word in _split_words(reply.text)]
            yield {"type": "text", "text": ""}, deltas
        for number, (name, arguments) in enumerate(reply.calls):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            halves = [text[: len(text) // 2], text[len(text) // 2 :]]
            call_id = f"toolu_{len(self.requests)}_{number}"
            yield (
                {"type": "tool_use", "id": call_id, "name": name, "input": {}},
                [{"type": "input_json_delta", "partial_json": half} for half in halves],
            )


def _to_sse(event_type: str, **fields: Any) -> bytes:
    return f"event: {event_type}\ndata: {json.dumps({'type': event_type, **fields})}\n\n".encode()
