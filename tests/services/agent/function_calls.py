"""The agent's tool loop with a model that emits just the calls of a case."""

import json
from datetime import timedelta

from prometheus_client import CollectorRegistry

from backend.ai.chat_models import Address, ModelSettings
from backend.services.agent.clients.calls import Calls
from backend.services.agent.clients.measures import Measures
from backend.services.agent.clients.models import Models
from backend.services.agent.clients.runner import Runner
from backend.services.agent.clients.runs import Caller, Limits, Run, Said, Setting, ToolEnded
from backend.services.agent.clients.toolbox import Toolbox
from tests.services.agent.bfcl import Case, CaseTools, Made
from tests.services.agent.stand_ins import Reply, ScriptedModel


class ScriptedCaller(ScriptedModel):
    """Emits the calls of the case in hand, then says that it is done."""

    def take(self, case: Case) -> None:
        self.requests.clear()
        self.replies[:] = [
            Reply(calls=[(name, json.dumps(arguments)) for name, arguments in case.calls]),
            Reply(text="Done."),
        ]


class Loop:
    """The agent's runner over the tools of one case at a time."""

    def __init__(self, model: ScriptedCaller, limits: Limits) -> None:
        self._model = model
        self._tools = CaseTools()
        address = Address.at("openai", "scripted", f"{model.url}/v1")
        settings = ModelSettings(addresses=[address], timeout=timedelta(seconds=30))
        measures = Measures(CollectorRegistry())
        self._runner = Runner(
            Models(settings, mind=None),
            Toolbox((), [self._tools]),
            Calls(limits, measures.refused),
            measures,
        )

    def answer(self, case: Case) -> tuple[list[Made], list[Made]]:
        """The calls that reached a tool, and those that were told to be done."""
        self._tools.take(case)
        self._model.take(case)
        caller = Caller("user-ada", "tenant-of-ada", {}, frozenset())
        run = Run("scripted", [Said("user", "Do it.")], Setting(caller, None))
        ended = [each for each in self._runner.run(run) if isinstance(each, ToolEnded)]
        done = [each.call for each in ended if each.outcome.status == "ok"]
        return self._tools.made, [(call.tool, call.arguments) for call in done]

    def accepts(self, call: Made) -> bool:
        """Whether *call*, of the case that was answered last, keeps to that case's schema."""
        return self._tools.accepts(call)
