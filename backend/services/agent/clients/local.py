"""The fetched model as a LangChain chat model: it chooses by a schema and writes from passages.

A model this small calls tools only if it can write nothing but a call, and only after it has
seen examples of each; what is plain without it is not asked of it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from backend.ai.chat_models import ModelMisbehaved
from backend.ai.chat_models.watched import FINISH_REASON
from backend.services.agent.clients.lite import call_chunks, in_hand, offered, wanted
from backend.services.agent.clients.mind import Answered, Chosen, Mind, Offered
from backend.services.agent.clients.runs import REQUEST, Passage

_NONE: Final = "answer_directly"
_CALL_TOKENS: Final = 256
_PASSAGES: Final = 4
_PASSAGE_CHARACTERS: Final = 1_500
_EARLIER: Final = 6
_CHOOSE: Final = (
    "Choose the one tool for the user's last request and write its call as JSON. Every question "
    "of fact goes to search_documents if that is among the tools: you know no facts yourself. "
    f"Only greetings and small talk go to {_NONE}."
)
_WRITE: Final = (
    "Answer the question from these passages alone, in one to three sentences of your own. "
    "If they do not hold the answer, say that you found nothing about it in the documents."
)
_TALK: Final = "You are a friendly assistant. Answer in one or two sentences and state no facts."


class LocalChatModel(BaseChatModel):
    """Rules first, then the model; `inner` is the model's server, `mind` knows the rules."""

    inner: BaseChatModel
    mind: Any  # a Mind; pydantic cannot check a protocol

    @property
    def _llm_type(self) -> str:
        return "embedded-local"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[offered(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        *,
        tools: Sequence[Offered] = (),
        tool_choice: str | dict[str, Any] | bool | None = None,
        **settings: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        mind: Mind = self.mind
        request, earlier, answered = in_hand(messages)
        request = mind.meant(request, earlier)
        if tools and not answered and tool_choice != "none":
            required, name = wanted(tool_choice)
            possible = [tool for tool in tools if name in {None, tool.name}]
            chosen, cost = await self.chosen(messages, request, possible, required=required)
            if chosen:
                yield _called(chosen, cost)
                return
        if (said := mind.plainly_said(request, answered)) is not None:
            yield _said(said)
            return
        prompt = _about_passages(messages, request, answered) if answered else _talk(messages)
        # Beneath LangChain's callbacks, which would hear every word twice.
        async for chunk in self.inner._astream(prompt, stop, **settings):
            yield chunk

    async def chosen(
        self,
        messages: Sequence[BaseMessage],
        request: str,
        tools: Sequence[Offered],
        *,
        required: bool,
    ) -> tuple[Sequence[Chosen], BaseMessage | None]:
        """The calls to make, and what it cost to find that out."""
        mind: Mind = self.mind
        if plain := mind.plainly_chosen(request, tools):
            return plain, None
        if not required and mind.plainly_said(request, []) is not None:
            return (), None
        try:
            result = await self.inner._agenerate(
                _choice(messages, tools),
                temperature=0,
                max_tokens=_CALL_TOKENS,
                extra_body={"json_schema": _schema(tools, required=required)},
            )
        except ModelMisbehaved:  # a foreign tool's schema can be more than the server follows
            return mind.choose(request, tools, required=required), None
        written = result.generations[0].message
        try:
            call = json.loads(written.text)
            name, arguments = call["tool"], call["arguments"]
        except (ValueError, KeyError, TypeError):  # cut off at its last token
            return mind.choose(request, tools, required=required), written
        return [Chosen(name, arguments)] if name != _NONE else (), written

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        return asyncio.run(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))


def _schema(tools: Sequence[Offered], *, required: bool) -> dict[str, Any]:
    """Nothing but one call of one of *tools* is an instance of this."""
    shapes = [(tool.name, dict(tool.parameters)) for tool in tools]
    if not required:
        shapes.append((_NONE, {"type": "object", "properties": {}}))
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"tool": {"const": name}, "arguments": arguments},
                "required": ["tool", "arguments"],
            }
            for name, arguments in shapes
        ]
    }


def _choice(messages: Sequence[BaseMessage], tools: Sequence[Offered]) -> list[BaseMessage]:
    described = "\n".join(f"{tool.name}: {tool.description}" for tool in tools)
    shown: list[BaseMessage] = [SystemMessage(f"{_CHOOSE}\nTools:\n{described}")]
    for tool in tools:
        for example in tool.examples:
            arguments = {
                name: example.utterance if value == REQUEST else value
                for name, value in example.arguments.items()
            }
            call = {"tool": tool.name, "arguments": arguments}
            shown += [HumanMessage(example.utterance), AIMessage(json.dumps(call))]
    return [*shown, *_talked(messages)]


def _about_passages(
    messages: Sequence[BaseMessage], request: str, answered: Sequence[Answered]
) -> list[BaseMessage]:
    passages = [passage for each in answered for passage in each.passages][:_PASSAGES]
    shown = "\n\n".join(map(_shown, passages))
    question = f"{shown}\n\n{_WRITE}\n\nQuestion: {request}"
    return [*_instructions(messages), HumanMessage(question)]


def _shown(passage: Passage) -> str:
    text = passage.text[:_PASSAGE_CHARACTERS].replace("</passage>", "<\\/passage>")
    return f"<passage>\n{text}\n</passage>"


def _talk(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return [SystemMessage(_TALK), *_talked(messages)]


def _talked(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """The last few messages that were said, without tools."""
    said = (each for each in messages if isinstance(each, HumanMessage | AIMessage))
    return [each for each in said if each.text][-_EARLIER:]


def _instructions(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    first = messages[0]
    return [first] if isinstance(first, SystemMessage) else []


def _called(chosen: Sequence[Chosen], written: BaseMessage | None) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content="",
        tool_call_chunks=call_chunks(chosen),
        response_metadata={FINISH_REASON: "tool_calls"},
        usage_metadata=written.usage_metadata if isinstance(written, AIMessage) else None,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)


def _said(text: str) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, response_metadata={FINISH_REASON: "stop"}, chunk_position="last"
    )
    return ChatGenerationChunk(message=message)
