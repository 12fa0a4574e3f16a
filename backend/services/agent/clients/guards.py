"""The guards around LangChain's agent: what it leaves open, closed in one place."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

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
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from pydantic import ValidationError

from backend.chassis.models.watched import BROKEN_OFF, MALFORMED
from backend.services.agent.clients.flight import Flight
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
    ToolFailed,
)

_log = logging.getLogger(__name__)

_NO_MORE_CALLS: Final = (
    "You cannot call tools any more. Answer with what you have, or say what is missing."
)
_FINISHED: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class Guards(AgentMiddleware[AgentState[Any], Flight]):
    """Limits on what a model may spend, and the only way by which a tool is run."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        super().__init__()
        self._tools = {tool.name: tool for tool in tools}

    async def awrap_model_call(
        self,
        request: ModelRequest[Flight],
        handler: Callable[[ModelRequest[Flight]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        flight = request.runtime.context
        if flight.replay is not None:  # decided calls: the model has made them already
            replayed, flight.replay = flight.replay, None
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
        offered = request.tools
        if flight.model_calls + 1 >= limits.model_calls or flight.tool_calls >= limits.tool_calls:
            offered = []
            instructions.append(_NO_MORE_CALLS)
        elif not flight.run.may_pause:
            offered = [tool for tool in offered if not self._waits(tool)]
        request = request.override(model_settings=flight.settings(), tools=offered)
        if not instructions:
            return request
        # One system message: some servers' templates refuse a second.
        whole = "\n\n".join([request.system_prompt or "", *instructions])
        return request.override(system_message=SystemMessage(whole))

    def _waits(self, tool: BaseTool | dict[str, Any]) -> bool:
        return isinstance(tool, BaseTool) and self._tools[tool.name].side_effects

    async def _ask(
        self,
        request: ModelRequest[Flight],
        handler: Callable[[ModelRequest[Flight]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        flight = request.runtime.context
        if flight.tokens >= flight.limits.tokens:
            raise LimitReached("The run has used all the tokens that it may use.")
        flight.model_calls += 1
        response = await flight.models.ask(lambda model: handler(request.override(model=model)))
        answer = _answer_of(response)
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
        waiting = [
            call["id"]
            for call in last.tool_calls
            if (tool := self._tools.get(call["name"])) is not None and tool.side_effects
        ]
        if not flight.run.may_pause or flight.decided.issuperset(waiting):
            return None
        flight.paused = True
        return {"jump_to": "end"}

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[Any]],  # noqa: ARG002 - tools run here
    ) -> ToolMessage:
        flight: Any = request.runtime.context  # typed as None where no graph is seen
        made = request.tool_call
        call = Call(made["id"] or "", made["name"][:64], made["args"])
        await flight.tell(ToolStarted(call))
        begun = time.monotonic()
        outcome = await self._run(call, flight)
        flight.identifiers.update(outcome.identifiers)
        took = round((time.monotonic() - begun) * 1000)
        await flight.tell(ToolEnded(call, outcome, took))
        return ToolMessage(
            content=outcome.content,
            tool_call_id=call.id,
            name=call.tool,
            status="error" if outcome.failed else "success",
            artifact={"passages": [asdict(passage) for passage in outcome.passages]},
        )

    async def _run(self, call: Call, flight: Flight) -> Outcome:
        """The tool's outcome; whatever goes wrong is an outcome too, told to the model."""
        flight.tool_calls += 1
        try:
            tool, arguments = self._checked(call, flight)
            async with asyncio.timeout(flight.limits.tool_time.total_seconds()):
                outcome = await tool.run(arguments, flight.run.setting)
        except ToolFailed as error:
            return Outcome(str(error), failed=True)
        except TimeoutError:
            return Outcome("The tool took too long and was stopped.", failed=True)
        except Exception:  # noqa: BLE001 - a tool's bug must not end the answer
            _log.exception("The tool %s failed", call.tool)
            return Outcome("The tool failed.", failed=True)
        return _capped(outcome, flight.limits.tool_output)

    def _checked(self, call: Call, flight: Flight) -> tuple[Tool, Any]:
        if flight.tool_calls > flight.limits.tool_calls:
            raise ToolFailed("No more tools may be called in this run.")
        tool = self._tools.get(call.tool)
        if tool is None:
            raise ToolFailed(f"There is no such tool; there are: {', '.join(self._tools)}.")
        if tool.side_effects and not (call.id in flight.decided and flight.run.approved):
            raise ToolFailed("The user has not approved this call.")
        try:
            arguments = tool.arguments.model_validate(call.arguments)
        except ValidationError as error:
            raise ToolFailed(f"The arguments are not as they should be: {_told(error)}") from error
        # A decided call was shown to a person with its exact arguments.
        if call.id not in flight.decided and not flight.may_use(tool, call.arguments):
            raise ToolFailed("The user did not name this id, and no tool gave it.")
        return tool, arguments


def finish_reason(answer: AIMessage) -> str:
    """Why the model stopped; a stream that broke off has no reason and is no answer."""
    reason = answer.response_metadata.get("finish_reason")
    if reason not in _FINISHED:
        raise ModelUnavailable(BROKEN_OFF)
    return str(reason)


def is_malformed(answer: AIMessage) -> bool:
    """Whether the model called a tool with arguments that are no JSON object."""
    return bool(answer.invalid_tool_calls) or MALFORMED in answer.response_metadata


def _answer_of(response: ModelResponse[Any]) -> AIMessage:
    answer = response.result[0]
    if not isinstance(answer, AIMessage):
        raise ModelMisbehaved("The model's answer is not one.")
    return answer


async def _malformed(made: ToolCall | InvalidToolCall, flight: Flight) -> ToolMessage:
    call = Call(made["id"] or "", (made["name"] or "unknown")[:64], {})
    outcome = Outcome("The arguments were not valid JSON. Call again with valid JSON.", failed=True)
    await flight.tell(ToolStarted(call))
    await flight.tell(ToolEnded(call, outcome, 0))
    return ToolMessage(
        content=outcome.content, tool_call_id=call.id, name=call.tool, status="error"
    )


def _told(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)[:5]
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)


def _capped(outcome: Outcome, most: int) -> Outcome:
    if len(outcome.content) <= most:
        return outcome
    return replace(outcome, content=f"{outcome.content[:most]}\n(The rest was cut.)")
