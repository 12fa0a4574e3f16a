"""The one way by which a tool is run: checked, bounded, and audited where it is refused."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from backend.services.agent.clients.measures import known
from backend.services.agent.clients.runs import Call, Limits, Outcome, Setting, Status, Tool
from backend.services.agent.errors import CallMistaken, ToolFailed, ToolRefused

_log = logging.getLogger(__name__)

# Counts a refusal: the tool's name and the reason, one word.
Count = Callable[[str, str], None]
# Refuses a call of a known tool for what only a run knows, by raising ToolRefused.
Allow = Callable[[Tool, Call], None]


class Calls:
    """Runs tools; whatever goes wrong is an outcome, told to whoever called."""

    def __init__(self, limits: Limits, count: Count) -> None:
        self.limits = limits
        self._count = count

    async def run(
        self, call: Call, tools: Mapping[str, Tool], setting: Setting, allow: Allow
    ) -> Outcome:
        """The outcome of *call*, made once, or never if it is refused."""
        try:
            tool = _granted(call, tools, setting)
            arguments = tool.arguments.checked(call.arguments)
            allow(tool, call)
            async with asyncio.timeout((tool.time or self.limits.tool_time).total_seconds()):
                outcome = await tool.run(arguments, setting)
        except ToolRefused as refusal:
            self._audit(call, tools, setting, refusal)
            status: Status = "error" if isinstance(refusal, CallMistaken) else "refused"
            return self._capped(Outcome(str(refusal), status=status))
        except ToolFailed as error:
            return self._capped(Outcome(str(error), status="error"))
        except TimeoutError:
            return Outcome("The tool took too long and was stopped.", status="error")
        except Exception:  # noqa: BLE001 - a tool's bug must not end the answer
            _log.exception("The tool %s failed", call.tool)
            return Outcome("The tool failed.", status="error")
        return self._capped(outcome)

    def must_wait(self, call: Call, tools: Mapping[str, Tool], setting: Setting) -> bool:
        """Whether a person is to be asked: not for what would be refused whatever they say."""
        try:
            tool = _granted(call, tools, setting)
            tool.arguments.checked(call.arguments)
        except ToolRefused:
            return False
        return tool.side_effects

    def _audit(
        self, call: Call, tools: Mapping[str, Tool], setting: Setting, refusal: ToolRefused
    ) -> None:
        self._count(known(call.tool, tools), refusal.reason)
        caller = setting.caller
        fields = {
            "tool": call.tool,
            "call_id": call.id,
            "reason": refusal.reason,
            "user_id": caller.user_id,
            "tenant_id": caller.tenant_id,
            "request_id": caller.headers.get("X-Request-ID", ""),
        }
        _log.warning("tool call refused", extra={"fields": fields})

    def _capped(self, outcome: Outcome) -> Outcome:
        most = self.limits.tool_output
        if len(outcome.content) <= most:
            return outcome
        return replace(outcome, content=f"{outcome.content[:most]}\n(The rest was cut.)")


def _granted(call: Call, tools: Mapping[str, Tool], setting: Setting) -> Tool:
    found = tools.get(call.tool)
    if found is not None and found.granted_to(setting.caller):
        return found
    may = ", ".join(tool.name for tool in tools.values() if tool.granted_to(setting.caller))
    told = f"There is no such tool; there are: {may}."
    raise CallMistaken("unknown_tool", told) if found is None else ToolRefused("not_granted", told)
