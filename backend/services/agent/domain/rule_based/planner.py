"""Planner without a language model: rules, then the most similar example, then a document search.

Answers consist of text from tool results, or state that nothing was found.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backend.ai.embedder import Embedder
from backend.ai.replies import Reply, get_reply
from backend.ai.sentence_similarities import EmbeddedSimilarities
from backend.services.agent.domain.rule_based.client_tool_arguments import guess_arguments
from backend.services.agent.domain.rule_based.extractive_answers import (
    SearchSimilarities,
    answer_from_chunks,
    extract_first_sentences,
    is_related,
)
from backend.services.agent.domain.rule_based.follow_ups import resolve_follow_up, split_request
from backend.services.agent.domain.rule_based.rules import match_rule
from backend.services.agent.domain.rule_based.small_talk import answer_small_talk
from backend.services.agent.engine.chat_models.planner import (
    CompletedToolCall,
    OfferedTool,
    PlannedToolCall,
)
from backend.services.agent.model import REQUEST_PLACEHOLDER
from backend.services.agent.tools.calculator import CALCULATE
from backend.services.agent.tools.documents import MAX_QUERY_CHARACTERS, SEARCH_DOCUMENTS
from backend.services.agent.tools.web_pages import FETCH_PAGE

_MIN_EXAMPLE_SIMILARITY: Final = 0.55
_MIN_SMALL_TALK_SIMILARITY: Final = 0.75
# Longer requests contain more than small talk.
_MAX_SMALL_TALK_CHARACTERS: Final = 60
_MAX_PAGE_CHARACTERS: Final = 1_500
_MIN_CLIENT_TOOL_SIMILARITY: Final = 0.35
# Vectors of requests are cached: a request is compared with small talk and with tool examples.
_MAX_KEPT_REQUESTS: Final = 64
_OUTER_MARKS: Final = " ?!.,"

_PERCENT: Final = re.compile(r"(?<![\w.])([\d.]++)/100\*")
# Other wordings of small talk are recognised by their similarity to these.
_SMALL_TALK_EXAMPLES: Final = (
    "hello",
    "thank you",
    "goodbye",
    "who are you",
    "what can you do",
    "how are you",
)


class RuleBasedPlanner:
    """Chooses tools by rules and similarity to examples, and answers with quotes."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._similarities = SearchSimilarities(embedder)
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._embed_request = lru_cache(maxsize=_MAX_KEPT_REQUESTS)(self._embed_text)

    def resolve_references(self, request: str, previous_request: str) -> str:
        """Return *request*, completed from *previous_request* if it is a follow-up to it."""
        return resolve_follow_up(request, previous_request)

    def choose_tool_calls(
        self, request: str, tools: Sequence[OfferedTool], *, required: bool = False
    ) -> Sequence[PlannedToolCall]:
        """Return one call for each part of *request* that needs a tool."""
        if not tools:
            return []
        chosen: list[PlannedToolCall] = []
        for part in split_request(request):
            call = self._choose_tool_call(part, tools, required)
            if call is not None and call not in chosen:
                chosen.append(call)
        return chosen

    def _choose_tool_call(
        self, request: str, tools: Sequence[OfferedTool], required: bool
    ) -> PlannedToolCall | None:
        if (rule_call := _match_offered_rule(request, tools)) is not None:
            return rule_call
        if not required and self._answer_small_talk(request) is not None:
            return None
        tools_with_examples = [tool for tool in tools if tool.examples]
        if not tools_with_examples:
            return self._choose_client_tool_call(request, tools, required)
        return self._choose_by_example(request, tools_with_examples)

    def choose_by_rules(
        self, request: str, tools: Sequence[OfferedTool]
    ) -> Sequence[PlannedToolCall] | None:
        """Return the calls if each part of *request* matches a rule or is small talk, else None."""
        chosen: list[PlannedToolCall] = []
        for part in split_request(request):
            call = _match_offered_rule(part, tools)
            if call is None and answer_small_talk(part) is None:
                return None
            if call is not None and call not in chosen:
                chosen.append(call)
        return chosen

    def certain_tool_calls(
        self, request: str, tools: Sequence[OfferedTool]
    ) -> Sequence[PlannedToolCall]:
        """Return the calls that rules match, if a rule matches every part of *request*."""
        return self.choose_by_rules(request, tools) or []

    def direct_answer(self, request: str, completed: Sequence[CompletedToolCall]) -> str | None:
        """Return an answer that needs no language model, or None.

        It is an answer to small talk, a result without document chunks, or the statement that
        nothing was found if all chunks are unrelated to *request*.
        """
        if not completed:
            return self._answer_small_talk(request)
        calls = [call for call in completed if call.chunks]
        if not calls:
            return self.compose_answer(request, completed)
        # With unrelated chunks, a small language model would answer from its training data.
        has_related = any(self._has_related_chunks(request, call) for call in calls)
        return None if has_related else get_reply(Reply.NOTHING_FOUND, request)

    def _has_related_chunks(self, request: str, call: CompletedToolCall) -> bool:
        if call.arguments.get("query") == request:
            return is_related(self._similarities, request, call.chunks)
        # The model wrote the query, which may be about another subject than the request.
        return is_related(EmbeddedSimilarities(self._embedder), request, call.chunks)

    def compose_answer(self, request: str, completed: Sequence[CompletedToolCall]) -> str:
        """Return the answer to *request* from the results of the *completed* calls."""
        if not completed:
            return self._answer_small_talk(request) or get_reply(Reply.NO_TOOL, request)
        return "\n\n".join(self._format_result(request, call) for call in completed)

    def _format_result(self, request: str, call: CompletedToolCall) -> str:
        if call.failed:
            reply = Reply.CANNOT_CALCULATE if call.tool == CALCULATE else Reply.TOOL_FAILED
            return get_reply(reply, request).format(detail=call.content)
        if call.tool == FETCH_PAGE:
            return call.content.partition("\n")[2].rpartition("\n")[0][:_MAX_PAGE_CHARACTERS]
        if call.tool == SEARCH_DOCUMENTS:
            query = str(call.arguments.get("query") or request)
            # The query is part of the request, or the request completed from the conversation. In
            # the second case the words of the request itself select the best sentences.
            questions = [query] if query in request else [request, query]
            answers = (
                answer_from_chunks(self._similarities, question, call.chunks, call.term_weights)
                for question in questions
            )
            return next(filter(None, answers), get_reply(Reply.NOTHING_FOUND, request))
        if call.tool == CALCULATE:
            return _PERCENT.sub(r"\1 % of ", call.content)
        return extract_first_sentences(call.chunks[0]) if call.chunks else call.content

    def _answer_small_talk(self, request: str) -> str | None:
        if (answer := answer_small_talk(request)) is not None:
            return answer
        if len(request) > _MAX_SMALL_TALK_CHARACTERS:
            return None
        similarities = self._get_similarities(request.strip(_OUTER_MARKS), _SMALL_TALK_EXAMPLES)
        best = int(similarities.argmax())
        return (
            answer_small_talk(_SMALL_TALK_EXAMPLES[best])
            if similarities[best] >= _MIN_SMALL_TALK_SIMILARITY
            else None
        )

    def _choose_by_example(self, request: str, tools: Sequence[OfferedTool]) -> PlannedToolCall:
        examples = [(tool, example) for tool in tools for example in tool.examples]
        similarities = self._get_similarities(
            request.strip(_OUTER_MARKS), [example.utterance for _, example in examples]
        )
        best = int(similarities.argmax())
        tool, example = examples[best]
        search = next((tool for tool in tools if tool.name == SEARCH_DOCUMENTS), None)
        if search is not None and similarities[best] < _MIN_EXAMPLE_SIMILARITY:
            # No example is similar, so the request is probably a question about documents.
            return PlannedToolCall(SEARCH_DOCUMENTS, {"query": request[:MAX_QUERY_CHARACTERS]})
        return PlannedToolCall(tool.name, _fill_placeholders(example.arguments, request))

    def _choose_client_tool_call(
        self, request: str, tools: Sequence[OfferedTool], required: bool
    ) -> PlannedToolCall | None:
        descriptions = [
            f"{tool.name.replace('_', ' ')}: {tool.description[:300]}" for tool in tools
        ]
        similarities = self._get_similarities(request, descriptions)
        for index in np.argsort(-similarities):
            if not required and similarities[index] < _MIN_CLIENT_TOOL_SIMILARITY:
                return None
            arguments = guess_arguments(request, tools[int(index)].parameters, required=required)
            if arguments is not None:
                return PlannedToolCall(tools[int(index)].name, arguments)
        return None

    def _get_similarities(self, text: str, others: Sequence[str]) -> NDArray[np.float32]:
        missing = [other for other in others if other not in self._vectors]
        if missing and len(self._vectors) > 2_000:
            # Texts of client-defined tools accumulate. Vectors still in use are recomputed.
            self._vectors.clear()
            missing = list(others)
        if missing:
            self._vectors.update(zip(missing, self._embedder.encode(missing), strict=True))
        similarities: NDArray[np.float32] = np.stack(
            [self._vectors[other] for other in others]
        ) @ self._embed_request(text)
        return similarities

    def _embed_text(self, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._embedder.encode([text])[0]
        return vector


def _match_offered_rule(request: str, tools: Sequence[OfferedTool]) -> PlannedToolCall | None:
    call = match_rule(request)
    return call if call is not None and call.tool in {tool.name for tool in tools} else None


def _fill_placeholders(arguments: Mapping[str, Any], request: str) -> dict[str, Any]:
    query = request[:MAX_QUERY_CHARACTERS]
    return {
        name: query if value == REQUEST_PLACEHOLDER else value for name, value in arguments.items()
    }
