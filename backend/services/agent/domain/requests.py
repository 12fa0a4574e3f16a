"""A request as it is meant: in the light of the one before it, and one part after the other."""

import re
from typing import Final

from backend.services.agent.domain.places import time_zone
from backend.services.agent.domain.rules import by_rule, expression_in, zone_asked
from backend.services.agent.domain.small_talk import small_talk

_MOST_PARTS: Final = 4
_LONGEST_FOLLOW_UP: Final = 12
_LONGEST_POINTER: Final = 7

_GOES_ON: Final = re.compile(
    r"^(?:and|but|so|also|what about|how about|und|aber|et|y|e|why|warum|pourquoi)\b", re.IGNORECASE
)
_POINTS_BACK: Final = re.compile(
    r"\b(?:it|its|they|them|their|he|him|his|she|her|that one|those|these|there|er|sie|ihn|"
    r"il|elle|eso|lui)\b",
    re.IGNORECASE,
)
_AND_THERE: Final = re.compile(
    r"^(?:and|what about|how about|und|et|y|e)?\s*(?:(?:in|at|à|en|a)\s+)?"
    r"(?P<where>[\w' -]+?)\s*\??$",
    re.IGNORECASE,
)
_AND_THEN: Final = re.compile(
    r"^(?:and|then|now|und|,)*\s*"
    r"(?P<more>(?:plus|minus|times|mal|[-+*/\u00d7\u00f7]|divided by|geteilt durch)"
    r"\s*[\d.,]+)\s*\??$",
    re.IGNORECASE,
)
_BETWEEN: Final = re.compile(
    r"(?<=[?!.;])\s+|,?\s+(?:and(?: also| then)?|und|et|y)\s+", re.IGNORECASE
)


def in_context(request: str, earlier: str) -> str:
    """*request* with what it leaves unsaid because *earlier* has just said it."""
    if not earlier or len(request.split()) > _LONGEST_FOLLOW_UP:
        return request
    earlier = parts(earlier)[-1]
    if zone_asked(earlier) is not None and (there := _AND_THERE.match(request)) is not None:
        place = there["where"]
        return f"what time is it in {place}?" if time_zone(place) is not None else request
    expression = expression_in(earlier)
    if expression is not None and (then := _AND_THEN.match(request)) is not None:
        return f"({expression}) {then['more']}"
    if by_rule(request) is not None or small_talk(request) is not None:
        return request
    if small_talk(earlier) is not None or by_rule(earlier) is not None:
        return request
    points_back = len(request.split()) <= _LONGEST_POINTER and _POINTS_BACK.search(request)
    if points_back or _GOES_ON.search(request):
        return f"{earlier} {request}"
    return request


def parts(request: str) -> list[str]:
    """The requests in *request*, if each of them can stand alone; else just *request*."""
    if len(request) > 400 or by_rule(request) is not None:
        return [request]
    found = [part.strip() for part in _BETWEEN.split(request) if part.strip()]
    asked = [part for part in found if small_talk(part) is None]
    plain = [by_rule(part) is not None for part in asked]
    # What rules understand may stand apart; two questions about documents are often one.
    if not 1 <= len(asked) <= _MOST_PARTS or len(found) == 1 or plain.count(False) > 1:
        return [request]
    if not any(plain) and len(asked) == len(found):
        return [request]
    return asked
