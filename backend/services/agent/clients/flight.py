"""What one run has used and may still use. Tools find the caller here, never in a prompt."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage

from backend.services.agent.clients.runs import Completion, Event, Limits, Run, Tool, Used
from backend.services.agent.clients.succession import Succession

Tell = Callable[[Event], Awaitable[None]]

MOST_TOKENS: Final = 2_048
_CHARACTERS_A_TOKEN: Final = 4


@dataclass(slots=True)
class Flight:
    """One run under way: LangChain hands it to every guard as the runtime's context."""

    run: Run
    limits: Limits
    tell: Tell
    typed: str
    models: Succession
    replay: AIMessage | None = None
    decided: frozenset[str] = frozenset()
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

    def may_use(self, tool: Tool, arguments: Mapping[str, Any]) -> bool:
        """Whether every thing that *arguments* name was named by the user or by a tool."""
        named = {str(arguments[name]) for name in tool.identifiers if name in arguments}
        return all(name in self.identifiers or name in self.typed for name in named)


def model_settings(asked: Run | Completion, left: int | None) -> dict[str, Any]:
    """What *asked* says to a model, which may write no more than the *left* tokens."""
    most = asked.max_tokens or MOST_TOKENS
    chosen: dict[str, Any] = {"max_tokens": most if left is None else max(1, min(most, left))}
    if asked.temperature is not None:
        chosen["temperature"] = asked.temperature
    return chosen


def spent(messages: Sequence[BaseMessage], answer: AIMessage) -> tuple[int, int]:
    """Tokens read and written; by length where the server does not say."""
    usage = answer.usage_metadata
    if usage is not None and usage["input_tokens"]:
        return usage["input_tokens"], usage["output_tokens"]
    read = sum(len(message.text) for message in messages)
    return math.ceil(read / _CHARACTERS_A_TOKEN), math.ceil(len(answer.text) / _CHARACTERS_A_TOKEN)
