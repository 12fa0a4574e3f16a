"""Run BFCL cases through the agent with a model that emits the expected calls."""

import json
from datetime import timedelta

from prometheus_client import CollectorRegistry

from backend.ai.chat_models import ModelAddress, ModelSettings
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry
from backend.services.agent.engine.metrics import AgentMetrics
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.engine.toolbox import Toolbox
from backend.services.agent.model import (
    Caller,
    HistoryMessage,
    RunLimits,
    RunRequest,
    ToolContext,
    ToolEnded,
)
from tests.services.agent.engine.bfcl_cases import Case, CaseCall, CaseTools
from tests.services.agent.fakes import Reply, ScriptedModel


class ScriptedCaller(ScriptedModel):
    """Emits the tool calls of the current case, then a final answer."""

    def set_case(self, case: Case) -> None:
        self.requests.clear()
        self.replies[:] = [
            Reply(calls=[(name, json.dumps(arguments)) for name, arguments in case.calls]),
            Reply(text="Done."),
        ]


class ToolLoop:
    """The agent's runner with the tools of one case at a time."""

    def __init__(self, model: ScriptedCaller, limits: RunLimits) -> None:
        self._model = model
        self._tools = CaseTools()
        address = ModelAddress.for_server("openai", "scripted", f"{model.url}/v1")
        settings = ModelSettings(addresses=[address], timeout=timedelta(seconds=30))
        metrics = AgentMetrics(CollectorRegistry())
        self._runner = AgentRunner(
            ChatModelRegistry(settings, planner=None),
            Toolbox((), [self._tools]),
            ToolExecutor(limits, metrics.record_tool_refusal),
            metrics,
        )

    def run_case(self, case: Case) -> tuple[list[CaseCall], list[CaseCall]]:
        """Return the calls that reached a tool, and those that were reported as successful."""
        self._tools.set_case(case)
        self._model.set_case(case)
        caller = Caller("user-ada", "tenant-of-ada", {}, frozenset())
        request = RunRequest(
            "scripted", [HistoryMessage("user", "Do it.")], ToolContext(caller, None)
        )
        ended = [
            event for event in self._runner.stream_run(request) if isinstance(event, ToolEnded)
        ]
        succeeded = [event.call for event in ended if event.result.status == "ok"]
        return self._tools.calls, [(call.tool, call.arguments) for call in succeeded]

    def accepts(self, call: CaseCall) -> bool:
        """Return whether *call* matches the schema of the last case."""
        return self._tools.accepts(call)
