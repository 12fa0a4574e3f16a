"""A model server for load tests: streams words at a fixed rate, as one asyncio process.

    python -m benchmarks.agent.word_model PORT

The word count is in the last message: `Say 100 words.` The first word is sent at once and then one
every 20 ms. All responses consist of the same bytes, so that the server costs less than what it
loads.
"""

import asyncio
import json
import re
import sys
from contextlib import suppress
from typing import Any, Final

PAUSE_SECONDS: Final = 0.02
_WORD_COUNT: Final = re.compile(rb"Say (\d+) words")
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_ENVELOPE: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "words",
}


def _encode(document: dict[str, Any]) -> bytes:
    """Return *document* as a server-sent event in one HTTP chunk."""
    event = b"data: " + json.dumps(_ENVELOPE | document).encode() + b"\n\n"
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


def _encode_delta(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _encode({"choices": [choice]})


_ROLE: Final = _encode_delta({"role": "assistant", "content": ""})
_WORD: Final = _encode_delta({"content": "word "})
_USAGE: Final = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
_END: Final = (
    _encode_delta({}, "stop")
    + _encode({"choices": [], "usage": _USAGE})
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            await _answer(writer, int(_WORD_COUNT.findall(body)[-1]))
    writer.close()


async def _answer(writer: asyncio.StreamWriter, word_count: int) -> None:
    writer.write(_HEAD + _ROLE)
    for number in range(word_count):
        if number:
            await asyncio.sleep(PAUSE_SECONDS)
        writer.write(_WORD)
        await writer.drain()
    writer.write(_END)
    await writer.drain()


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=1000)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
