"""Calls as turns: each input of the caller is a message, and the answer is synthesized.

Each request of the provider is answered with TwiML within seconds. `turn` in the URLs is the number
of the last message that the caller has heard or that was stored, so that a repeated request gets
the same answer. https://www.twilio.com/docs/voice/twiml
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from backend.chassis.database.sessions import Database, Session
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.voice.notices import Notice, get_notice
from backend.services.chat.domain.voice.spoken_text import get_spoken_texts
from backend.services.chat.domain.webhooks.requests import CallRequest, WebhookResponse
from backend.services.chat.store import conversations as store
from backend.services.chat.store import messages
from backend.services.chat.store.accounts import get_account
from backend.services.chat.store.external_messages import find_conversation_by_key
from backend.services.chat.store.tables import Conversation

# Twilio waits for 15 seconds. The rest is for storing, and for the network.
MAX_WAIT_SECONDS: Final = 6.0
_POLL_SECONDS: Final = 0.5
# A call waits for an answer through this number of requests: about two minutes.
_MAX_WAITS: Final = 20
_MAX_SILENCES: Final = 2
_GATHER_SECONDS: Final = 6
_ENDED: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_DEFAULT_LANGUAGE: Final = "en-US"
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
# Characters that XML 1.0 does not allow.
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_SPOKEN_MESSAGES: Final = 20


@dataclass(frozen=True, slots=True)
class _CallState:
    """State of the dialogue: new messages to the caller, and whether an answer is expected.

    Attributes:
        seq: number of the last message.
        texts: texts of messages to the caller.
        notice: reason why the call ends, or None.
        is_waiting: True while the agent answers.
    """

    seq: int = 0
    texts: Sequence[str] = ()
    notice: Notice | None = None
    is_waiting: bool = False


class CallService:
    """Answers the requests of calls.

    Args:
        database: the tables; its sessions must see every tenant.
        board: wakes requests that wait for an answer.
    """

    def __init__(self, database: Database, log: MessageLog, board: ChangeBoard) -> None:
        self._database = database
        self._log = log
        self._board = board

    def respond(self, call: CallRequest, seconds: float) -> WebhookResponse:
        """Return TwiML: what is said, and where the call goes on.

        Args:
            seconds: time to wait for the answer. The provider repeats the request after it.
        """
        if call.status in _ENDED:
            self._end(call)
            return _to_response("")
        with self._database.read() as session:
            account = get_account(session, call.account_id)
            settings = {} if account is None else account.settings
            is_active = account is not None and account.state == "active"
        script = _Script(call, settings)
        if not is_active:
            return script.end_call("unavailable")
        if call.has_input or call.waits:
            return self._continue(call, script, seconds)
        if call.silences:
            return self._repeat(call, script)
        greeting = settings.get("voice_greeting")
        text = greeting if isinstance(greeting, str) and greeting else script.get("greeting")
        return script.ask([text], self._read_state(call).seq)

    def _continue(self, call: CallRequest, script: "_Script", seconds: float) -> WebhookResponse:
        """Say the answer to what the caller said, or let the caller wait for it."""
        state = self._wait_for_answer(call, seconds)
        if state.texts:
            return script.ask(state.texts, state.seq)
        if state.notice is not None:
            return script.end_call(state.notice)
        if call.waits >= _MAX_WAITS:
            return script.end_call("unavailable")
        return script.pause()

    def _repeat(self, call: CallRequest, script: "_Script") -> WebhookResponse:
        """Ask again after silence. A colleague can have written meanwhile."""
        state = self._read_state(call)
        if state.texts:
            return script.ask(state.texts, state.seq)
        if call.silences > _MAX_SILENCES:
            return script.end_call("unavailable")
        return script.ask([script.get("not_heard")], call.turn, silences=call.silences)

    def _wait_for_answer(self, call: CallRequest, seconds: float) -> _CallState:
        deadline = monotonic() + seconds
        conversation_id = self._find_conversation_id(call)
        if conversation_id is None:
            return _CallState(notice="unavailable")
        with self._board.watch(conversation_id) as watcher:
            while True:
                state = self._read_state(call)
                left = deadline - monotonic()
                if state.texts or not state.is_waiting or left <= 0:
                    return state
                watcher.wait(min(_POLL_SECONDS, left))

    def _find_conversation_id(self, call: CallRequest) -> str | None:
        with self._database.read() as session:
            conversation = _find_conversation(session, call)
            return None if conversation is None else conversation.id

    def _read_state(self, call: CallRequest) -> _CallState:
        with self._database.read() as session:
            conversation = _find_conversation(session, call)
            if conversation is None:
                return _CallState()
            rows = messages.list_messages(
                session,
                conversation.id,
                _MAX_SPOKEN_MESSAGES,
                after_seq=call.turn,
                with_internal=False,
            )
            spoken = [row for row in rows if row.direction == "outbound" and not row.deleted_at]
            texts = [text for row in spoken for text in get_spoken_texts(row.content)]
            seq = max((row.seq for row in spoken), default=conversation.last_seq)
            return _CallState(seq, texts, *_describe_wait(conversation))

    def _end(self, call: CallRequest) -> None:
        """Resolve the conversation, and let the agent not answer any more."""
        with self._database.write(call.tenant_id) as session:
            found = _find_conversation(session, call)
            if found is None:
                return
            conversation = store.lock_conversation(session, call.tenant_id, found.id)
            if conversation is None:
                return
            status = "resolved" if conversation.mode == "bot" else conversation.status
            self._log.change_conversation(session, conversation, status=status, answer_due_at=None)


def _find_conversation(session: Session, call: CallRequest) -> Conversation | None:
    return find_conversation_by_key(session, call.account_id, f"call:{call.call_sid}")


def _describe_wait(conversation: Conversation) -> tuple[Notice | None, bool]:
    """Return why there is no answer, and whether one is expected."""
    if conversation.mode != "bot":
        return "handed_over", False
    is_due = conversation.answer_due_at is not None or conversation.lease_holder is not None
    return (None, True) if is_due else ("unavailable", False)


class _Script:
    """Writes TwiML in the language of the account."""

    def __init__(self, call: CallRequest, settings: Mapping[str, Any]) -> None:
        self._call = call
        language = settings.get("voice_language")
        is_valid = isinstance(language, str) and _LANGUAGE.fullmatch(language)
        self._language = str(language) if is_valid else _DEFAULT_LANGUAGE

    def get(self, notice: Notice) -> str:
        return get_notice(notice, self._language)

    def ask(self, texts: Sequence[str], turn: int, *, silences: int = 0) -> WebhookResponse:
        """Say *texts*, and listen. Speech and keys interrupt the texts."""
        action = self._build_url(turn=turn)
        silence = self._build_url(turn=turn, silence=silences + 1)
        return _to_response(
            f'<Gather input="speech dtmf" language={quoteattr(self._language)} '
            f'timeout="{_GATHER_SECONDS}" speechTimeout="auto" action={quoteattr(action)} '
            f'method="POST">{self._say(texts)}</Gather>'
            f'<Redirect method="POST">{escape(silence)}</Redirect>'
        )

    def pause(self) -> WebhookResponse:
        """Let the caller wait a second, and ask for the answer again."""
        url = self._build_url(turn=self._call.turn, wait=self._call.waits + 1)
        return _to_response(f'<Pause length="1"/><Redirect method="POST">{escape(url)}</Redirect>')

    def end_call(self, notice: Notice) -> WebhookResponse:
        return _to_response(f"{self._say([self.get(notice)])}<Hangup/>")

    def _say(self, texts: Sequence[str]) -> str:
        language = quoteattr(self._language)
        return "".join(
            f"<Say language={language}>{escape(_NOT_XML.sub(' ', text))}</Say>" for text in texts
        )

    def _build_url(self, **parameters: int) -> str:
        return f"{self._call.url}?{urlencode(parameters)}"


def _to_response(verbs: str) -> WebhookResponse:
    content = f"<Response>{verbs}</Response>" if verbs else "<Response/>"
    return WebhookResponse(f'<?xml version="1.0" encoding="UTF-8"?>{content}', "text/xml")
