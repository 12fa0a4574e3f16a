"""The embedded tier's mind: rules first, then the nearest example, then sentences of documents.

It knows no facts. What it says comes from a tool, word for word, or it says that it found nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backend.services.agent.clients.mind import Answered, Chosen, Offered
from backend.services.agent.clients.runs import REQUEST
from backend.services.agent.domain.citations import Embedder
from backend.services.agent.domain.quoting import lead, quoted
from backend.services.agent.domain.rules import by_rule

SEARCH: Final = "search_documents"
FETCH: Final = "fetch_page"
LONGEST_QUERY: Final = 2_000

_NEAR_ENOUGH: Final = 0.55
_CHAT: Final = 0.75
_PAGE: Final = 1_500
_FOREIGN_NEAR_ENOUGH: Final = 0.35

_NOTHING_FOUND: Final = "I found nothing about that in your documents."
_CAN_DO: Final = (
    "I am the built-in assistant. I answer from your documents and show where each sentence "
    "stands, list and read them, calculate, and tell the time. Upload a document and ask about it."
)
_SMALL_TALK: Final = (
    ("hello", "Hello. Ask me something about your documents."),
    ("hi there", "Hello. Ask me something about your documents."),
    ("good morning", "Good morning. Ask me something about your documents."),
    ("thank you", "You are welcome."),
    ("thanks a lot", "You are welcome."),
    ("goodbye", "Goodbye."),
    ("who are you", _CAN_DO),
    ("what can you do", _CAN_DO),
    ("help", _CAN_DO),
    ("how are you", "Ready to answer. Ask me something about your documents."),
)


class LiteMind:
    """Decides by rules and by likeness to examples; answers by quoting."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    def choose(
        self, request: str, tools: Sequence[Offered], *, required: bool = False
    ) -> Chosen | None:
        """The tool that *request* asks for, None where words alone answer it."""
        if (found := self.plainly_chosen(request, tools)) is not None:
            return found
        if not tools or (not required and self._small_talk(request) is not None):
            return None
        ours = [tool for tool in tools if tool.examples]
        if not ours:
            return self._choose_foreign(request, tools, required)
        return self._nearest_example(request, ours)

    def plainly_chosen(self, request: str, tools: Sequence[Offered]) -> Chosen | None:
        """The tool that a rule knows."""
        found = by_rule(request)
        return found if found is not None and found.tool in {tool.name for tool in tools} else None

    def plainly_said(self, request: str, answered: Sequence[Answered]) -> str | None:
        """Small talk, and what tools have found unless it is passages of documents."""
        if not answered:
            return self._small_talk(request)
        return None if any(each.passages for each in answered) else self.say(request, answered)

    def say(self, request: str, answered: Sequence[Answered]) -> str:
        """The answer to *request* from what the tools found."""
        if not answered:
            return self._small_talk(request) or (
                "I can only answer from documents and tools, and neither fits this request."
            )
        return "\n\n".join(self._told(request, each) for each in answered)

    def _told(self, request: str, each: Answered) -> str:
        if each.failed:
            return f"{each.tool} was not done. {each.content}"
        if each.tool == FETCH:
            return each.content.partition("\n")[2].rpartition("\n")[0][:_PAGE]
        if each.tool == SEARCH:
            return quoted(self._embedder, request, each.passages) or _NOTHING_FOUND
        return lead(each.passages[0]) if each.passages else each.content

    def _small_talk(self, request: str) -> str | None:
        if len(request) > 60:
            return None
        likeness = self._likeness(request.strip(" ?!.,"), [said for said, _ in _SMALL_TALK])
        best = int(likeness.argmax())
        return _SMALL_TALK[best][1] if likeness[best] >= _CHAT else None

    def _nearest_example(self, request: str, tools: Sequence[Offered]) -> Chosen:
        examples = [(tool, example) for tool in tools for example in tool.examples]
        likeness = self._likeness(request, [example.utterance for _, example in examples])
        best = int(likeness.argmax())
        tool, example = examples[best]
        search = next((each for each in tools if each.name == SEARCH), None)
        if search is not None and likeness[best] < _NEAR_ENOUGH:
            return Chosen(
                SEARCH, {"query": request[:LONGEST_QUERY]}
            )  # a question that no example resembles
        return Chosen(tool.name, _filled(example.arguments, request))

    def _choose_foreign(
        self, request: str, tools: Sequence[Offered], required: bool
    ) -> Chosen | None:
        described = [f"{tool.name.replace('_', ' ')}: {tool.description[:300]}" for tool in tools]
        likeness = self._likeness(request, described)
        for index in np.argsort(-likeness):
            if not required and likeness[index] < _FOREIGN_NEAR_ENOUGH:
                return None
            arguments = _guessed(request, tools[int(index)].parameters)
            if arguments is not None:
                return Chosen(tools[int(index)].name, arguments)
        return None

    def _likeness(self, text: str, others: Sequence[str]) -> NDArray[np.float32]:
        missing = [other for other in others if other not in self._known]
        if missing and len(self._known) > 2_000:
            self._known.clear()  # clients' own tools come and go; ours are soon back
            missing = list(others)
        if missing:
            self._known.update(zip(missing, self._embedder.encode(missing), strict=True))
        vector = self._embedder.encode([text])[0]
        likeness: NDArray[np.float32] = np.stack([self._known[each] for each in others]) @ vector
        return likeness


def _filled(arguments: Mapping[str, Any], request: str) -> dict[str, Any]:
    cut = request[:LONGEST_QUERY]
    return {name: cut if value == REQUEST else value for name, value in arguments.items()}


def _guessed(request: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arguments for a client's own tool, as far as the words give them; None if they do not."""
    properties: Mapping[str, Any] = parameters.get("properties") or {}
    required = parameters.get("required") or []
    numbers = re.findall(r"-?\d+(?:\.\d+)?", request)
    arguments: dict[str, Any] = {}
    for name in required:
        schema = properties.get(name) or {}
        kind = schema.get("type")
        choices = [each for each in schema.get("enum", []) if str(each).lower() in request.lower()]
        if "enum" in schema:
            if not choices:
                return None
            arguments[name] = choices[0]
        elif kind in {"number", "integer"}:
            if not numbers:
                return None
            number = float(numbers.pop(0))
            arguments[name] = int(number) if kind == "integer" else number
        elif kind in {"string", None}:
            arguments[name] = _last_name(request) or request
        elif kind == "boolean":
            arguments[name] = True
        else:
            return None
    return arguments


def _last_name(request: str) -> str | None:
    """What is quoted, or the last capitalised words: "the weather in New York" asks of New York."""
    if quoted := re.findall(r"[\"\u201c]([^\"\u201d]{1,200})[\"\u201d]", request):
        return str(quoted[-1])
    names = re.findall(r"(?<=\s)[A-Z][\w'\u2019-]*(?:\s[A-Z][\w'\u2019-]*)*", request)
    return str(names[-1]) if names else None
