"""Shared memory of answers: states of sessions, and answers to first messages."""

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from backend.services.chat.clients.agent import AgentAnswer, AgentMessage
from backend.services.chat.clients.shared_state import SharedState

_SESSION: Final = "session"
_ANSWER: Final = "answer"


@dataclass(frozen=True, slots=True)
class MemoryLifetimes:
    """SESSION_TTL and RESPONSE_CACHE_TTL."""

    session: timedelta
    answer: timedelta


class AnswerMemory:
    """Reads and writes the shared state. Without it, histories are read from the tables."""

    def __init__(self, state: SharedState, lifetimes: MemoryLifetimes) -> None:
        self._state = state
        self._lifetimes = lifetimes

    def load_history(
        self,
        conversation_id: str,
        version: int,
        build: Callable[[], Sequence[AgentMessage]],
    ) -> list[AgentMessage]:
        """Return the history of a conversation as of change *version*, built if it is unknown."""
        stored = self._state.read(_SESSION, conversation_id)
        if stored is not None and stored.get("version") == version:
            return [AgentMessage(role, text) for role, text in stored["history"]]
        history = list(build())
        value = {"version": version, "history": [[item.role, item.text] for item in history]}
        self._state.write(_SESSION, conversation_id, value, self._lifetimes.session.total_seconds())
        return history

    def find_answer(self, account_id: str, scope: str, text: str) -> AgentAnswer | None:
        """Return the stored answer to a first message *text* of the account, or None."""
        stored = self._state.read(_ANSWER, _build_key(account_id, scope, text))
        if stored is None:
            return None
        return AgentAnswer(
            text=stored["text"],
            session_id=None,
            citations=stored["citations"],
            steps=stored["steps"],
            model=stored["model"],
        )

    def store_answer(self, account_id: str, scope: str, text: str, answer: AgentAnswer) -> None:
        """Store an answer to a first message. Only answers with citations are stored."""
        if not answer.citations or answer.is_waiting:
            return
        value: dict[str, Any] = {
            "text": answer.text,
            "citations": list(answer.citations),
            "steps": list(answer.steps),
            "model": answer.model,
        }
        key = _build_key(account_id, scope, text)
        self._state.write(_ANSWER, key, value, self._lifetimes.answer.total_seconds())


def _build_key(account_id: str, scope: str, text: str) -> str:
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(f"{account_id}\0{scope}\0{words}".encode()).hexdigest()
