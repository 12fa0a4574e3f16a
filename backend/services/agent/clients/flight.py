"""What one run has used and may still use. Tools find the caller here, never in a prompt."""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage

from backend.services.agent.clients.runs import Call, Completion, Event, Limits, Run, Tool, Used
from backend.services.agent.clients.succession import Succession
from backend.services.agent.errors import ToolRefused

Tell = Callable[[Event], Awaitable[None]]

MOST_TOKENS: Final = 2_048
_CHARACTERS_A_TOKEN: Final = 4
_LONGEST_NAME: Final = 64


@dataclass(slots=True)
class Flight:
    """One run under way: LangChain hands it to every guard as the runtime's context."""

    run: Run
    limits: Limits
    tell: Tell
    typed: str
    models: Succession
    tools: Mapping[str, Tool]
    replay: AIMessage | None = None
    decided: list[Call] = field(default_factory=list)
    deciding: bool = False
    call_ids: set[str] = field(default_factory=set)
    model_calls: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    identifiers: set[str] = field(default_factory=set)
    said: bool = False
    paused: bool = False
    finish_reason: str = "stop"

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def settings(self) -> dict[str, Any]:
        """What the caller chose for the model."""
        return model_settings(self.run, self.limits.tokens - self.tokens)

    def count(self, messages: Sequence[BaseMessage], answer: AIMessage) -> Used:
        """Add what *answer* cost."""
        prompt, completion = spent(messages, answer)
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        return Used(self.models.model, prompt, completion)

    def allow(self, tool: Tool, call: Call) -> None:
        """ToolRefused unless this run may make *call* now."""
        self.tool_calls += 1
        if self.tool_calls > self.limits.tool_calls:
            raise ToolRefused("limit", "No more tools may be called in this run.")
        if call in self.decided:
            # A decision is for one call, with the arguments that were shown, and good once.
            self.decided.remove(call)
            if not self.run.approved:
                raise ToolRefused("rejected", "The user has not approved this call.")
            return
        if tool.side_effects:
            raise ToolRefused("not_approved", "The user has not approved this call.")
        named = [str(call.arguments[name]) for name in tool.identifiers if name in call.arguments]
        if not all(self._was_named(name) for name in named):
            raise ToolRefused("not_named", "The user did not name this, and no tool gave it.")

    def _was_named(self, name: str) -> bool:
        # Who types example.org means https://example.org/.
        typed = re.sub(r"^https?://|/$", "", name)
        return name in self.identifiers or (bool(typed) and _stands_in(self.typed, typed))


def _stands_in(text: str, name: str) -> bool:
    """Whether *name* stands in *text* as a whole, and not just as a part of another's name."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def call_of(made: Mapping[str, Any]) -> Call:
    """A call as LangChain writes it, in our words; a model may name a tool as long as it likes."""
    return Call(made["id"] or "", made["name"][:_LONGEST_NAME], made["args"])


def model_settings(asked: Run | Completion, left: int | None) -> dict[str, Any]:
    """What *asked* says to a model, which may write no more than the *left* tokens."""
    most = asked.max_tokens or MOST_TOKENS
    chosen: dict[str, Any] = {"max_tokens": most if left is None else max(1, min(most, left))}
    if asked.temperature is not None:
        chosen["temperature"] = asked.temperature
    wishes = dict(asked.wishes)
    if (form := wishes.pop("response_format", None)) is not None:
        # Past LangChain's own handling, which takes no tools but strict ones beside it.
        chosen["extra_body"] = {"response_format": form}
    return chosen | wishes


def spent(messages: Sequence[BaseMessage], answer: AIMessage) -> tuple[int, int]:
    """Tokens read and written; by length where the server does not say."""
    usage = answer.usage_metadata
    if usage is not None and usage["input_tokens"]:
        return usage["input_tokens"], usage["output_tokens"]
    read = sum(len(message.text) for message in messages)
    return math.ceil(read / _CHARACTERS_A_TOKEN), math.ceil(len(answer.text) / _CHARACTERS_A_TOKEN)
