"""Answer in OpenAI's way: the client keeps the conversation, and may bring tools of its own."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from backend.services.agent.clients.models import Models
from backend.services.agent.clients.runner import Runner
from backend.services.agent.clients.runs import Completion, Finished, Run, Setting
from backend.services.agent.domain.answers import Answers
from backend.services.agent.domain.events import (
    Answer,
    Called,
    Caller,
    Idle,
    Said,
    Telling,
    Text,
)
from backend.services.agent.domain.quotas import Quotas
from backend.services.agent.errors import UnsupportedSetting


@dataclass(frozen=True, slots=True)
class Chat:
    """A whole conversation, as a client hands it in."""

    messages: Sequence[Mapping[str, Any]]
    history: Sequence[Said]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_itself(self) -> bool:
        """Whether the client runs tools of its own: then ours would only be in the way."""
        return bool(self.tools) or any(each["role"] == "tool" for each in self.messages)


@dataclass(frozen=True, slots=True)
class Completing:
    """A completion under way, and the model that writes it."""

    model: str
    told: Telling


class Completions:
    """Completes chats: with our tools, or with the client's, never with both."""

    def __init__(self, answers: Answers, runner: Runner, models: Models, quotas: Quotas) -> None:
        self._quotas = quotas
        self._answers = answers
        self._runner = runner
        self._models = models

    def complete(self, caller: Caller, chat: Chat) -> Completing:
        """What is said and called, ending with an Answer."""
        model = self._models.name_of(chat.model)
        heeded = self._models.heeded(model)
        if "response_format" in chat.wishes and "response_format" not in heeded:
            raise UnsupportedSetting("response_format", model)
        # What else a model does not know only makes its answers differ a little.
        wishes = {name: wish for name, wish in chat.wishes.items() if name in heeded}
        if not chat.by_itself:
            run = Run(
                model,
                chat.history,
                Setting(caller, None),
                chat.temperature,
                chat.max_tokens,
                may_pause=False,
                wishes=wishes,
            )
            return Completing(model, self._answers.once(run))
        completion = Completion(
            model,
            chat.messages,
            chat.tools,
            chat.tool_choice,
            chat.temperature,
            chat.max_tokens,
            wishes,
        )
        self._quotas.check(caller)
        return Completing(model, self._passed_on(caller, completion))

    def _passed_on(self, caller: Caller, completion: Completion) -> Telling:
        begun, text = time.monotonic(), ""
        with (
            self._quotas.admitted(caller, completion.model) as meter,
            closing(self._runner.complete(replace(completion, most_tokens=meter.left))) as events,
        ):
            for event in events:
                meter.see(event)
                match event:
                    case Text():
                        text += event.text
                        yield event
                    case Called() | Idle():
                        yield event
                    case Finished():
                        yield Answer(
                            text=text,
                            conversation_id=None,
                            citations=(),
                            steps=(),
                            model=event.model,
                            finish_reason=event.finish_reason,
                            prompt_tokens=event.prompt_tokens,
                            completion_tokens=event.completion_tokens,
                            took_ms=round((time.monotonic() - begun) * 1000),
                        )
