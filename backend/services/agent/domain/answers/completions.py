"""OpenAI chat completions: the client stores the conversation and may define tools."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from backend.services.agent.domain.answers.events import (
    Answer,
    Caller,
    ClientToolCalls,
    HistoryMessage,
    IdleEvent,
    StreamEvents,
    TextDelta,
)
from backend.services.agent.domain.answers.service import AnswerService
from backend.services.agent.domain.quotas import QuotaService
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.errors import UnsupportedParameter
from backend.services.agent.model import CompletionRequest, RunFinished, RunRequest, ToolContext


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat completion request: the conversation, client tools and model parameters."""

    messages: Sequence[Mapping[str, Any]]
    history: Sequence[HistoryMessage]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    model_parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def uses_client_tools(self) -> bool:
        """Return whether the client executes its own tools. The agent's tools are not used then."""
        return bool(self.tools) or any(message["role"] == "tool" for message in self.messages)


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion in progress: the requested model and the events."""

    model: str
    events: StreamEvents


class CompletionService:
    """Completes chats with either the agent's tools or the client's tools, never both."""

    def __init__(
        self,
        answer_service: AnswerService,
        runner: AgentRunner,
        models: ChatModelRegistry,
        quotas: QuotaService,
    ) -> None:
        self._quotas = quotas
        self._answer_service = answer_service
        self._runner = runner
        self._models = models

    def start_completion(self, caller: Caller, chat: Chat) -> Completion:
        """Start to complete *chat*. The events end with an Answer.

        Raises:
            UnknownModel: the model is not configured.
            UnsupportedParameter: the model does not support `response_format`.
            DailyTokensExhausted: the daily token quota is used up.
        """
        model = self._models.resolve_name(chat.model)
        supported = self._models.get_supported_parameters(model)
        if "response_format" in chat.model_parameters and "response_format" not in supported:
            raise UnsupportedParameter("response_format", model)
        # Drop other unsupported parameters: without them answers differ only slightly.
        model_parameters = {
            name: value for name, value in chat.model_parameters.items() if name in supported
        }
        if not chat.uses_client_tools:
            run = RunRequest(
                model,
                chat.history,
                ToolContext(caller, None),
                chat.temperature,
                chat.max_tokens,
                can_pause=False,
                model_parameters=model_parameters,
                request_type="openai",
            )
            return Completion(model, self._answer_service.answer_without_conversation(run))
        completion = CompletionRequest(
            model,
            chat.messages,
            chat.tools,
            chat.tool_choice,
            chat.temperature,
            chat.max_tokens,
            model_parameters,
            request_type="openai",
        )
        self._quotas.check_quota(caller)
        return Completion(model, self._stream_client_completion(caller, completion))

    def _stream_client_completion(
        self, caller: Caller, completion: CompletionRequest
    ) -> StreamEvents:
        started_at, text = time.monotonic(), ""
        with (
            self._runner.start_queue.acquire_slot() as slot,
            self._quotas.reserve_tokens(caller, completion.model) as meter,
            closing(
                self._runner.stream_completion(
                    replace(completion, remaining_daily_tokens=meter.remaining_tokens),
                    slot.release,
                )
            ) as events,
        ):
            for event in events:
                slot.release()
                meter.count_event(event)
                match event:
                    case TextDelta():
                        text += event.text
                        yield event
                    case ClientToolCalls() | IdleEvent():
                        yield event
                    case RunFinished():
                        yield Answer(
                            text=text,
                            conversation_id=None,
                            citations=(),
                            steps=(),
                            model=event.model,
                            finish_reason=event.finish_reason,
                            prompt_tokens=event.prompt_tokens,
                            completion_tokens=event.completion_tokens,
                            took_ms=round((time.monotonic() - started_at) * 1000),
                        )
