"""Resolve follow-up requests, and split a request into independent parts."""

import re
from typing import Final

from backend.ai.follow_ups import FollowUpOptions, Turn, rewrite_follow_up
from backend.services.agent.domain.rule_based.arithmetic_requests import find_expression
from backend.services.agent.domain.rule_based.rules import match_rule
from backend.services.agent.domain.rule_based.small_talk import answer_small_talk
from backend.services.agent.domain.rule_based.time_requests import find_requested_time_zone
from backend.services.agent.tools.time_zones import find_time_zone

_OPTIONS: Final = FollowUpOptions(max_words=12, max_reference_words=7, prepends_question=True)
_MAX_PARTS: Final = 4
# Longer requests are complete, and they are not split.
_MAX_SPLIT_CHARS: Final = 400

# "and in Paris?" after a question for the time of another place.
_OTHER_PLACE: Final = re.compile(
    r"^(?:and|what about|how about|und|et|y|e)?\s*+(?:(?:in|at|à|en|a)\s++)?"
    r"(?P<place>[\w'-]++(?: ++[\w'-]++)*+)\s*+\??$",
    re.IGNORECASE,
)
# "times 2" after a calculation.
_FURTHER_OPERATION: Final = re.compile(
    r"^(?:and|then|now|und|,)*+\s*+"
    r"(?P<operation>(?:plus|minus|times|mal|[-+*/\u00d7\u00f7]|divided by|geteilt durch)"
    r"\s*+[\d.,]++)\s*+\??$",
    re.IGNORECASE,
)
_PART_BOUNDARY: Final = re.compile(
    r"(?<=[?!.;])\s++|,?(?<!\s)\s++(?:and(?: also| then)?|und|et|y)\s++", re.IGNORECASE
)


def resolve_follow_up(request: str, previous_request: str) -> str:
    """Return *request*, completed from *previous_request* if it is a follow-up to it."""
    if not previous_request or len(request) > _MAX_SPLIT_CHARS:
        return request
    previous_request = split_request(previous_request)[-1]
    if (other_place := _OTHER_PLACE.match(request)) and find_requested_time_zone(
        previous_request
    ) is not None:
        place = other_place["place"]
        return f"what time is it in {place}?" if find_time_zone(place) is not None else request
    expression = find_expression(previous_request)
    if expression is not None and (further := _FURTHER_OPERATION.match(request)) is not None:
        return f"({expression}) {further['operation']}"
    if any(
        match_rule(text) is not None or answer_small_talk(text) is not None
        for text in (request, previous_request)
    ):
        return request
    return rewrite_follow_up(request, [Turn("user", previous_request)], _OPTIONS)


def split_request(request: str) -> list[str]:
    """Return the parts of *request* if each is independent, or else only *request*.

    Parts that rules can process are independent. Two questions about documents usually are not,
    so at most one part may be such a question. Small talk is dropped.
    """
    if len(request) > _MAX_SPLIT_CHARS or match_rule(request) is not None:
        return [request]
    parts = [part.strip() for part in _PART_BOUNDARY.split(request) if part.strip()]
    requests = [part for part in parts if answer_small_talk(part) is None]
    follow_rules = [match_rule(part) is not None for part in requests]
    if len(parts) == 1 or not 1 <= len(requests) <= _MAX_PARTS or follow_rules.count(False) > 1:
        return [request]
    if not any(follow_rules) and len(requests) == len(parts):
        return [request]
    return requests
