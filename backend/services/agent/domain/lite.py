"""The embedded tier's mind: rules first, then the nearest example, then sentences of documents.

It knows no facts. What it says comes from a tool, word for word, or it says that it found nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backend.ai.citations import Embedder
from backend.services.agent.clients.mind import Answered, Chosen, Offered
from backend.services.agent.clients.runs import REQUEST
from backend.services.agent.domain.quoting import lead, quoted, touches
from backend.services.agent.domain.requests import in_context, parts
from backend.services.agent.domain.rules import by_rule
from backend.services.agent.domain.small_talk import small_talk

SEARCH: Final = "search_documents"
FETCH: Final = "fetch_page"
CALCULATE: Final = "calculate"
LONGEST_QUERY: Final = 2_000

_NEAR_ENOUGH: Final = 0.55
_CHAT: Final = 0.75
# A longer request says more than that it is small talk.
_SHORT: Final = 60
_PAGE: Final = 1_500
_FOREIGN_NEAR_ENOUGH: Final = 0.35

_PERCENT: Final = re.compile(r"\b([\d.]+)/100\*")
_NOTHING_FOUND: Final = "I found nothing about that in your documents."
# Said in other words than small talk's own, these are recognised by their likeness.
_SMALL_TALK: Final = (
    "hello",
    "thank you",
    "goodbye",
    "who are you",
    "what can you do",
    "how are you",
)


class LiteMind:
    """Decides by rules and by likeness to examples; answers by quoting."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    def meant(self, request: str, earlier: str) -> str:
        """*request* with what *earlier* has said already."""
        return in_context(request, earlier)

    def choose(
        self, request: str, tools: Sequence[Offered], *, required: bool = False
    ) -> Sequence[Chosen]:
        """The calls that *request* asks for, one for each of its parts."""
        if not tools:
            return []
        chosen: list[Chosen] = []
        for part in parts(request):
            call = self._choose(part, tools, required)
            if call is not None and call not in chosen:
                chosen.append(call)
        return chosen

    def _choose(self, request: str, tools: Sequence[Offered], required: bool) -> Chosen | None:
        if (found := _by_rule(request, tools)) is not None:
            return found
        if not required and self._small_talk(request) is not None:
            return None
        ours = [tool for tool in tools if tool.examples]
        if not ours:
            return self._choose_foreign(request, tools, required)
        return self._nearest_example(request, ours)

    def plainly_chosen(self, request: str, tools: Sequence[Offered]) -> Sequence[Chosen]:
        """The calls that rules know, if they know one for every part."""
        found = [_by_rule(part, tools) for part in parts(request)]
        return [each for each in found if each is not None] if None not in found else []

    def plainly_said(self, request: str, answered: Sequence[Answered]) -> str | None:
        """Small talk, and what tools have found unless it is passages of documents."""
        if not answered:
            return self._small_talk(request)
        passages = [passage for each in answered for passage in each.passages]
        if not passages:
            return self.say(request, answered)
        # A small writer would answer from memory what the passages are not about.
        return None if touches(self._embedder, request, passages) else _NOTHING_FOUND

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
            query = str(each.arguments.get("query") or request)
            # A part of the request was looked for, or the request with what was said before it:
            # then its own words know best which of the sentences is meant.
            asked = query if query in request else request
            found = quoted(self._embedder, asked, each.passages)
            return found or quoted(self._embedder, query, each.passages) or _NOTHING_FOUND
        if each.tool == CALCULATE:
            return _PERCENT.sub(r"\1 % of ", each.content)
        return lead(each.passages[0]) if each.passages else each.content

    def _small_talk(self, request: str) -> str | None:
        if (said := small_talk(request)) is not None:
            return said
        if len(request) > _SHORT:
            return None
        likeness = self._likeness(request.strip(" ?!.,"), _SMALL_TALK)
        best = int(likeness.argmax())
        return small_talk(_SMALL_TALK[best]) if likeness[best] >= _CHAT else None

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
            arguments = _guessed(request, tools[int(index)].parameters, required=required)
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


def _by_rule(request: str, tools: Sequence[Offered]) -> Chosen | None:
    found = by_rule(request)
    return found if found is not None and found.tool in {tool.name for tool in tools} else None


def _filled(arguments: Mapping[str, Any], request: str) -> dict[str, Any]:
    cut = request[:LONGEST_QUERY]
    return {name: cut if value == REQUEST else value for name, value in arguments.items()}


def _guessed(
    request: str, parameters: Mapping[str, Any], *, required: bool
) -> dict[str, Any] | None:
    """Arguments for a client's own tool, as far as the words give them; None if they do not.

    A client that demands a call gets one, with its tool's first choice or 0 where words fail.
    """
    properties: Mapping[str, Any] = parameters.get("properties") or {}
    numbers = re.findall(r"-?\d+(?:\.\d+)?", request)
    arguments: dict[str, Any] = {}
    for name in parameters.get("required") or []:
        schema = properties.get(name) or {}
        kind = schema.get("type")
        if "enum" in schema:
            named = [each for each in schema["enum"] if str(each).lower() in request.lower()]
            choices = named or (schema["enum"] if required else [])
            if not choices:
                return None
            arguments[name] = choices[0]
        elif kind in {"number", "integer"}:
            if not numbers and not required:
                return None
            number = float(numbers.pop(0)) if numbers else 0.0
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
    if quoted := re.findall(r"(?<!\w)['\u2018]([^'\u2019]{1,200})['\u2019](?!\w)", request):
        return str(quoted[-1])
    names = re.findall(r"(?<=\s)[A-Z][\w'\u2019-]*(?:\s[A-Z][\w'\u2019-]*)*", request)
    return str(names[-1]) if names else None
