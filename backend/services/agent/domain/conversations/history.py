"""History of a conversation for a model: its latest messages and a summary of the older ones.

The summary is stored with the last message that it covers. So every branch through this message
can use it, and a later summary extends it. The messages themselves are not changed.
"""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import Final

from backend.ai.prompt_framing import frame_untrusted_text
from backend.ai.text.sentences import split_sentences
from backend.chassis.web.problems import ServiceError
from backend.services.agent.domain.conversations.run_leases import (
    BranchMessage,
    LeasedRun,
    RunLeases,
)
from backend.services.agent.engine.chat_models.registry import RULE_BASED_MODEL
from backend.services.agent.engine.prompts import SUMMARIZE_CONVERSATION
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.model import (
    Caller,
    CompletionRequest,
    HistoryMessage,
    IdleEvent,
    TextDelta,
    TokenUsage,
)

_log = logging.getLogger(__name__)

_BYTES_PER_TOKEN: Final = 4
_MAX_SUMMARY_TOKENS: Final = 400
_SUMMARY_TIMEOUT_SECONDS: Final = 30.0
# Longer messages are truncated before they are summarized.
_MAX_MESSAGE_CHARACTERS: Final = 4_000
_SUMMARY_PREFIX: Final = "Summary of the earlier conversation:\n\n"


@dataclass(frozen=True, slots=True)
class History:
    """Messages for the model, up to and including the current request."""

    messages: Sequence[HistoryMessage]


class HistoryBuilder:
    """Builds histories of at most *max_tokens* tokens."""

    def __init__(self, run_leases: RunLeases, runner: AgentRunner, max_tokens: int) -> None:
        self._run_leases = run_leases
        self._runner = runner
        self._max_tokens = max_tokens

    def build_history(
        self, caller: Caller, run: LeasedRun, model: str, must_stop: Callable[[], bool]
    ) -> Generator[IdleEvent | TokenUsage | History]:
        """Yield the history of the run's branch, after summarizing older messages if necessary.

        While the model writes a summary, also yields its idle and usage events.
        """
        summary, messages = _split_summary(run.path)
        if (
            estimate_tokens(summary) + sum(estimate_tokens(message.text) for message in messages)
            > self._max_tokens
        ):
            older, messages = self._split_messages(messages)
            if older:
                new_summary = yield from self._summarize_with_model(
                    summary, older, model, must_stop
                )
                summary = new_summary or _summarize_extractively(summary, older)
                self._run_leases.save_summary(caller, run.conversation_id, older[-1].id, summary)
        recent = [
            HistoryMessage(message.role, message.text) for message in messages if message.text
        ]
        if summary:
            recent.insert(0, HistoryMessage("system", _SUMMARY_PREFIX + summary))
        yield History(recent)

    def _split_messages(
        self, messages: Sequence[BranchMessage]
    ) -> tuple[Sequence[BranchMessage], Sequence[BranchMessage]]:
        """Split into older messages and the latest ones, which fit into half of the limit.

        The other half is left for new messages, so that not every run has to summarize. The latest
        messages always contain the current request, and they start with a user message.
        """
        sizes = accumulate(estimate_tokens(message.text) for message in reversed(messages))
        fitting_count = sum(size <= self._max_tokens // 2 for size in sizes)
        start = min(len(messages) - max(fitting_count, 1), len(messages) - 1)
        while messages[start].role != "user":
            start += 1
        return messages[:start], messages[start:]

    def _summarize_with_model(
        self,
        summary: str,
        older: Sequence[BranchMessage],
        model: str,
        must_stop: Callable[[], bool],
    ) -> Generator[IdleEvent | TokenUsage, None, str]:
        """Return the model's summary; an empty text if the model fails or takes too long."""
        if model == RULE_BASED_MODEL:
            return ""
        prompt = [
            {"role": "system", "content": SUMMARIZE_CONVERSATION},
            {"role": "user", "content": _format_transcript(summary, older)},
        ]
        completion = CompletionRequest(
            model,
            prompt,
            (),
            temperature=0.0,
            max_tokens=_MAX_SUMMARY_TOKENS,
            request_type="summary",
        )
        deadline, summary_text = time.monotonic() + _SUMMARY_TIMEOUT_SECONDS, ""
        try:
            with closing(self._runner.stream_completion(completion)) as events:
                for event in events:
                    match event:
                        case TextDelta():
                            summary_text += event.text
                        case IdleEvent() | TokenUsage():
                            yield event
                    if time.monotonic() > deadline or must_stop():
                        return ""
        except ServiceError as error:
            # Continue without the model's summary. If the model is down, the run reports it.
            _log.warning("the model could not summarize a conversation: %s", error.code)
            return ""
        return summary_text.strip()


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens of *text*. Most models provide no tokenizer."""
    return ceil(len(text.encode()) / _BYTES_PER_TOKEN)


def _split_summary(path: Sequence[BranchMessage]) -> tuple[str, Sequence[BranchMessage]]:
    if path and path[0].summary is not None:
        return path[0].summary, path[1:]
    return "", path


def _format_transcript(summary: str, older: Sequence[BranchMessage]) -> str:
    lines = [f"Summary of the earlier messages: {summary}"] if summary else []
    lines += [
        f"{message.role}: {message.text[:_MAX_MESSAGE_CHARACTERS]}"
        for message in older
        if message.text
    ]
    return frame_untrusted_text("conversation", "\n\n".join(lines))


def _summarize_extractively(summary: str, older: Sequence[BranchMessage]) -> str:
    """Return the first sentences of the latest *older* messages, as a summary without a model."""
    lines = summary.splitlines()
    for message in older:
        if sentences := split_sentences(message.text):
            speaker = "The user" if message.role == "user" else "The assistant"
            lines.append(f"{speaker}: {sentences[0].text}")
    summary_lines: list[str] = []
    remaining_tokens = _MAX_SUMMARY_TOKENS * 2
    for line in reversed(lines):
        remaining_tokens -= estimate_tokens(line)
        if remaining_tokens < 0:
            break
        summary_lines.append(line)
    return "\n".join(reversed(summary_lines))
