"""Models behind OpenAI's interface, watched for tool calls that were cut off.

LangChain completes broken JSON by guessing: half a call would run with half its arguments.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

MALFORMED: Final = "malformed_calls"


class OpenAIModel(ChatOpenAI):
    """OpenAI itself."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in _watched(super()._astream(*args, **kwargs)):
            yield chunk


class CompatibleModel(BaseChatOpenAI):
    """Everyone else: ChatOpenAI says max_completion_tokens, which many servers do not know."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in _watched(super()._astream(*args, **kwargs)):
            yield chunk


async def _watched(
    chunks: AsyncIterator[ChatGenerationChunk],
) -> AsyncIterator[ChatGenerationChunk]:
    """*chunks*, and a mark behind them if a call's arguments are no JSON object."""
    written: dict[object, str] = defaultdict(str)
    async for chunk in chunks:
        if isinstance(chunk.message, AIMessageChunk):
            for piece in chunk.message.tool_call_chunks:
                written[piece["index"]] += piece["args"] or ""
        yield chunk
    if not all(_is_object(text) for text in written.values()):
        mark = AIMessageChunk(content="", response_metadata={MALFORMED: "yes"})
        yield ChatGenerationChunk(message=mark)


def _is_object(text: str) -> bool:
    if not text:  # how some servers call a tool without arguments
        return True
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
