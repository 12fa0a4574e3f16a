"""State and limits of one agent run.

Tools receive the caller from here, never from a prompt.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, BaseMessage

from backend.services.agent.engine.model_settings import build_model_settings
from backend.services.agent.errors import ToolRefused
from backend.services.agent.model import (
    EmitEvent,
    RunLimits,
    RunRequest,
    TokenUsage,
    Tool,
    ToolCall,
)

if TYPE_CHECKING:
    from backend.services.agent.engine.model_calls import ModelCaller

# Roles of messages by LangChain's types.
ROLES: Final = {"human": "user", "ai": "assistant"}
_CHARACTERS_PER_TOKEN: Final = 4
_MAX_TOOL_NAME_CHARACTERS: Final = 64


@dataclass(slots=True)
class RunContext:
    """State and budgets of one agent run, passed to every middleware as LangGraph's context.

    Attributes:
        user_text: all messages of the user. They may contain identifiers for tool arguments.
        tools: the tools that exist for the caller, by name.
        replayed_message: for a resumed run, the message with the calls that waited for approval.
        decided_calls: these calls, as long as they have not been executed.
        is_executing_decision: True while the calls of `replayed_message` are executed.
        call_ids: ids of all tool calls in this run.
        known_identifiers: identifiers that tools have returned.
    """

    request: RunRequest
    limits: RunLimits
    emit_event: EmitEvent
    user_text: str
    model_caller: "ModelCaller"
    tools: Mapping[str, Tool]
    replayed_message: AIMessage | None = None
    decided_calls: list[ToolCall] = field(default_factory=list)
    is_executing_decision: bool = False
    call_ids: set[str] = field(default_factory=set)
    model_call_count: int = 0
    tool_call_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    known_identifiers: set[str] = field(default_factory=set)
    is_paused: bool = False
    finish_reason: str = "stop"

    @property
    def token_count(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def get_model_settings(self) -> dict[str, Any]:
        """Return the request's settings for the next model call, within the remaining tokens."""
        return build_model_settings(self.request, self.limits.max_tokens - self.token_count)

    def add_token_usage(self, messages: Sequence[BaseMessage], response: AIMessage) -> TokenUsage:
        """Count and return the tokens of *response* and of *messages*, its input."""
        prompt_tokens, completion_tokens = count_tokens(messages, response)
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        return TokenUsage(self.model_caller.model, prompt_tokens, completion_tokens)

    def check_call(self, tool: Tool, call: ToolCall) -> None:
        """Count *call* and raise ToolRefused unless this run may execute it now."""
        self.tool_call_count += 1
        if self.tool_call_count > self.limits.max_tool_calls:
            raise ToolRefused("limit", "No more tools may be called in this run.")
        if call in self.decided_calls:
            # A decision is valid once, and only for the call with the arguments that were shown.
            self.decided_calls.remove(call)
            if not self.request.approved:
                raise ToolRefused("rejected", "The user has not approved this call.")
            return
        if tool.side_effects:
            raise ToolRefused("not_approved", "The user has not approved this call.")
        identifiers = [
            str(call.arguments[name])
            for name in tool.identifier_arguments
            if name in call.arguments
        ]
        if not all(self._is_known_identifier(identifier) for identifier in identifiers):
            raise ToolRefused(
                "not_named", "The identifier was neither named by the user nor returned by a tool."
            )

    def _is_known_identifier(self, identifier: str) -> bool:
        if identifier in self.known_identifiers:
            return True
        # A user who types example.org refers to https://example.org/.
        typed = re.sub(r"^https?://|/$", "", identifier)
        return bool(typed) and _contains_word(self.user_text, typed)


def _contains_word(text: str, word: str) -> bool:
    """Return whether *word* occurs in *text* and is not part of a longer name."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def to_tool_call(langchain_call: Mapping[str, Any]) -> ToolCall:
    """Convert a LangChain tool call. The name is truncated: a model may write any length."""
    return ToolCall(
        langchain_call["id"] or "",
        langchain_call["name"][:_MAX_TOOL_NAME_CHARACTERS],
        langchain_call["args"],
    )


def count_tokens(messages: Sequence[BaseMessage], response: AIMessage) -> tuple[int, int]:
    """Return the tokens of *messages* and of *response*.

    They are estimated from the number of characters if the server reports none.
    """
    usage = response.usage_metadata
    if usage is not None and usage["input_tokens"]:
        return usage["input_tokens"], usage["output_tokens"]
    prompt_characters = sum(len(message.text) for message in messages)
    return (
        math.ceil(prompt_characters / _CHARACTERS_PER_TOKEN),
        math.ceil(len(response.text) / _CHARACTERS_PER_TOKEN),
    )
