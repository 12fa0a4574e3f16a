"""The guards around LangChain's agent: what it leaves open, closed in one place."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final
from uuid import uuid4

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
    hook_config,
)
from langchain_core.messages import (
    AIMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.runtime import Runtime

from backend.ai.chat_models.watched import BROKEN_OFF, MALFORMED
from backend.services.agent.clients.calls import Calls
from backend.services.agent.clients.flight import Flight, call_of
from backend.services.agent.clients.runs import (
    Call,
    Outcome,
    Tool,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.errors import (
    LimitReached,
    ModelMisbehaved,
    ModelUnavailable,
)

_NO_MORE_CALLS: Final = (
    "You cannot call tools any more. Answer with what you have, or say what is missing."
)
_FINISHED: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class Guards(AgentMiddleware[AgentState[Any], Flight]):
    """Limits on what a model may spend, and the only way by which a tool is run."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    async def awrap_model_call(
        self,
        request: ModelRequest[Flight],
        handler: Callable[[ModelRequest[Flight]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        flight = request.runtime.context
        if flight.replay is not None:  # decided calls: the model has made them already
            replayed, flight.replay = flight.replay, None
            flight.deciding = True
            return ModelResponse(result=[replayed])
        asked = self._prepared(request, flight)
        response = await self._ask(asked, handler)
        answer = _answer_of(response)
        if is_malformed(answer):
            calls: list[ToolCall | InvalidToolCall] = [*answer.tool_calls]
            calls += answer.invalid_tool_calls
            told = [await _malformed(call, flight) for call in calls]
            asked = asked.override(messages=[*asked.messages, answer, *told])
            response = await self._ask(asked, handler)
            answer = _answer_of(response)
            if is_malformed(answer):
                raise ModelMisbehaved("The model twice called a tool with malformed arguments.")
        if answer.tool_calls and not asked.tools:
            raise LimitReached("The model went on calling tools beyond what a run may use.")
        return response

    def _prepared(self, request: ModelRequest[Flight], flight: Flight) -> ModelRequest[Flight]:
        """*request* with the caller's settings, and with the tools that may still be called."""
        limits = flight.limits
        instructions = [flight.run.instructions] if flight.run.instructions else []
        instructions += [said.text for said in flight.run.history if said.role == "system"]
        offered: list[BaseTool | dict[str, Any]] = []
        if flight.model_calls + 1 >= limits.model_calls or flight.tool_calls >= limits.tool_calls:
            instructions.append(_NO_MORE_CALLS)
        else:
            may_wait = flight.run.may_pause
            offered += [
                described(tool)
                for tool in flight.tools.values()
                if tool.granted_to(flight.run.setting.caller)
                and (may_wait or not tool.side_effects)
            ]
        request = request.override(model_settings=flight.settings(), tools=offered)
        if not instructions:
            return request
        # One system message: some servers' templates refuse a second.
        whole = "\n\n".join([request.system_prompt or "", *instructions])
        return request.override(system_message=SystemMessage(whole))

    async def _ask(
        self,
        request: ModelRequest[Flight],
        handler: Callable[[ModelRequest[Flight]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        flight = request.runtime.context
        if flight.tokens >= flight.limits.tokens:
            raise LimitReached("The run has used all the tokens that it may use.")
        flight.model_calls += 1
        flight.deciding = False
        response = await flight.models.ask(lambda model: handler(request.override(model=model)))
        answer = _answer_of(response)
        _name_apart(answer, flight.call_ids)
        await flight.tell(flight.count(request.messages, answer))
        flight.finish_reason = finish_reason(answer)
        return response

    @hook_config(can_jump_to=["end"])
    async def aafter_model(
        self, state: AgentState[Any], runtime: Runtime[Flight]
    ) -> dict[str, Any] | None:
        flight = runtime.context
        last = state["messages"][-1]
        if not isinstance(last, AIMessage):
            return None
        if flight.deciding or not flight.run.may_pause:
            return None
        calls = [call_of(made) for made in last.tool_calls]
        setting = flight.run.setting
        if not any(self._calls.must_wait(call, flight.tools, setting) for call in calls):
            return None
        flight.paused = True
        return {"jump_to": "end"}

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[Any]],  # noqa: ARG002 - tools run here
    ) -> ToolMessage:
        flight: Any = request.runtime.context  # typed as None where no graph is seen
        call = call_of(request.tool_call)
        await flight.tell(ToolStarted(call))
        begun = time.monotonic()
        outcome = await self._calls.run(call, flight.tools, flight.run.setting, flight.allow)
        flight.identifiers.update(outcome.identifiers)
        took = round((time.monotonic() - begun) * 1000)
        await flight.tell(ToolEnded(call, outcome, took))
        return ToolMessage(
            content=outcome.content,
            tool_call_id=call.id,
            name=call.tool,
            status="error" if outcome.failed else "success",
            artifact={
                "passages": [asdict(passage) for passage in outcome.passages],
                "identifiers": list(outcome.identifiers),
            },
        )


def finish_reason(answer: AIMessage) -> str:
    """Why the model stopped; a stream that broke off has no reason and is no answer."""
    reason = answer.response_metadata.get("finish_reason")
    if reason not in _FINISHED:
        raise ModelUnavailable(BROKEN_OFF)
    return str(reason)


def is_malformed(answer: AIMessage) -> bool:
    """Whether the model called a tool with arguments that are no JSON object."""
    return bool(answer.invalid_tool_calls) or MALFORMED in answer.response_metadata


def described(tool: Tool) -> BaseTool:
    """*tool* as LangChain shows it to a model; it is run by Calls, never by this."""

    async def not_here(**_: Any) -> str:
        raise NotImplementedError

    return StructuredTool.from_function(
        coroutine=not_here,
        name=tool.name,
        description=tool.description,
        args_schema=dict(tool.arguments.schema),
        metadata={"examples": tool.examples},
    )


def _name_apart(answer: AIMessage, used: set[str]) -> None:
    """Give calls without an id, or with one that this run has seen, an id of their own.

    A decision and an outcome belong to one call: a model that repeats an id must not get another
    call's.
    """
    for call in (*answer.tool_calls, *answer.invalid_tool_calls):
        if not call["id"] or call["id"] in used:
            call["id"] = f"call_{uuid4().hex[:24]}"
        used.add(str(call["id"]))


def _answer_of(response: ModelResponse[Any]) -> AIMessage:
    answer = response.result[0]
    if not isinstance(answer, AIMessage):
        raise ModelMisbehaved("The model's answer is not one.")
    return answer


async def _malformed(made: ToolCall | InvalidToolCall, flight: Flight) -> ToolMessage:
    call = Call(made["id"] or "", (made["name"] or "unknown")[:64], {})
    told = "The arguments were not valid JSON. Call again with valid JSON."
    outcome = Outcome(told, status="error")
    await flight.tell(ToolStarted(call))
    await flight.tell(ToolEnded(call, outcome, 0))
    return ToolMessage(
        content=outcome.content, tool_call_id=call.id, name=call.tool, status="error"
    )
