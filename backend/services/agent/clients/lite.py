"""The embedded tier as a LangChain chat model, so that it takes the one path all models take."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from backend.services.agent.clients.mind import Answered, Chosen, Mind, Offered
from backend.services.agent.clients.runs import Passage

_CHARACTERS_A_TOKEN = 4


class LiteChatModel(BaseChatModel):
    """Asks a Mind which tool to call, then lets it say what the tools found."""

    mind: Any  # a Mind; pydantic cannot check a protocol
    model: str = "embedded-lite"

    @property
    def _llm_type(self) -> str:
        return "embedded-lite"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[offered(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        text, chosen, finish = self._answer(messages, stop, **kwargs)
        message = AIMessage(
            content=text,
            tool_calls=[_call(each) for each in chosen],
            response_metadata={"finish_reason": finish, "model_name": self.model},
            usage_metadata=_usage(messages, text, chosen),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        text, chosen, finish = self._answer(messages, stop, **kwargs)
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", text):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager is not None:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                tool_call_chunks=call_chunks(chosen),
                response_metadata={"finish_reason": finish, "model_name": self.model},
                usage_metadata=_usage(messages, text, chosen),
                chunk_position="last",
            )
        )

    def _answer(
        self,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | None,
        *,
        tools: Sequence[Offered] = (),
        tool_choice: str | dict[str, Any] | bool | None = None,
        max_tokens: int | None = None,
        **_: Any,
    ) -> tuple[str, Sequence[Chosen], str]:
        """What is said, what is called, and why it ended there."""
        mind: Mind = self.mind
        request, earlier, answered = in_hand(messages)
        if tools and not answered and tool_choice != "none":
            required, name = wanted(tool_choice)
            possible = [tool for tool in tools if name in {None, tool.name}]
            chosen = mind.choose(mind.meant(request, earlier), possible, required=required)
            if chosen:
                return "", chosen, "tool_calls"
        text = mind.say(request, answered)
        for mark in stop or ():
            text = text.partition(mark)[0]
        words = re.findall(r"\s*\S+", text)
        if max_tokens is not None and len(words) > max_tokens:
            return "".join(words[:max_tokens]), (), "length"
        return text, (), "stop"


def in_hand(messages: Sequence[BaseMessage]) -> tuple[str, str, list[Answered]]:
    """The user's last request, the one before it, and what tools have answered to the last."""
    request = earlier = ""
    answered: list[Answered] = []
    called: dict[str | None, Mapping[str, Any]] = {}
    for message in messages:
        if isinstance(message, HumanMessage):
            request, earlier, answered = message.text, request, []
        elif isinstance(message, AIMessage):
            called |= {call["id"]: call["args"] for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            found = message.artifact if isinstance(message.artifact, Mapping) else {}
            answered.append(
                Answered(
                    tool=message.name or "tool",
                    arguments=called.get(message.tool_call_id, {}),
                    content=message.text,
                    passages=[Passage(**each) for each in found.get("passages", ())],
                    failed=message.status == "error",
                )
            )
    return request, earlier, answered


def wanted(tool_choice: str | dict[str, Any] | bool | None) -> tuple[bool, str | None]:
    """Whether a tool must be called, and which."""
    if isinstance(tool_choice, dict):
        return True, (tool_choice.get("function") or {}).get("name")
    if tool_choice in {None, False, "auto", "none"}:
        return False, None
    if tool_choice in {True, "any", "required"}:
        return True, None
    return True, str(tool_choice)


def offered(tool: dict[str, Any] | type | Callable[..., Any] | BaseTool) -> Offered:
    """*tool* as a Mind knows it."""
    function = convert_to_openai_tool(tool)["function"]
    metadata = tool.metadata if isinstance(tool, BaseTool) else None
    return Offered(
        name=function["name"],
        description=function.get("description") or "",
        parameters=function.get("parameters") or {},
        examples=(metadata or {}).get("examples", ()),
    )


def _call(chosen: Chosen) -> Any:
    return {"name": chosen.tool, "args": dict(chosen.arguments), "id": f"call_{uuid4().hex[:24]}"}


def call_chunks(chosen: Sequence[Chosen]) -> list[Any]:
    """The calls of *chosen*, each in one piece."""
    return [
        tool_call_chunk(
            name=each.tool,
            args=json.dumps(each.arguments),
            id=f"call_{uuid4().hex[:24]}",
            index=index,
        )
        for index, each in enumerate(chosen)
    ]


def _usage(messages: Sequence[BaseMessage], text: str, chosen: Sequence[Chosen]) -> UsageMetadata:
    """Tokens, counted roughly: there is no tokenizer behind this tier."""
    read = sum(len(message.text) for message in messages)
    said = len(text) + sum(len(str(each.arguments)) for each in chosen)
    spent = math.ceil(read / _CHARACTERS_A_TOKEN), math.ceil(said / _CHARACTERS_A_TOKEN)
    return UsageMetadata(input_tokens=spent[0], output_tokens=spent[1], total_tokens=sum(spent))
