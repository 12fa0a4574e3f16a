"""Requests that need no model to understand: sums, the time, and things named by their id."""

import re
from functools import cache
from typing import Final
from zoneinfo import available_timezones

from backend.services.agent.clients.mind import Chosen

_ASKS: Final = re.compile(
    r"^(?:please\s+|can you\s+|could you\s+|what(?:'s| is| are)\s+|how much (?:is|are)\s+|"
    r"(?:calculate|compute|evaluate|work out|solve|tell me|the (?:result|value) of)\s+)+",
    re.IGNORECASE,
)
_SPOKEN: Final = (
    (r"\bdivided by\b|\bover\b", "/"),
    (r"\bmultiplied by\b|\btimes\b|(?<=[\d)])\s*x\s*(?=[\d(])", "*"),
    (r"\bplus\b|\badded to\b", "+"),
    (r"\bminus\b", "-"),
    (r"\bmodulo\b|\bmod\b", "%"),
    (r"\bto the power of\b", "^"),
    (r"\bsquared\b", "^2"),
    (r"\bcubed\b", "^3"),
    (r"\b(?:the )?square root of\s*([\d.]+|\([^()]*\))", r"sqrt(\1)"),
    (r"([\d.]+)\s*(?:%|percent)\s+of\s+", r"\1/100*"),
)
_EXPRESSION: Final = re.compile(
    r"(?:[\d\s.,+*/^%()\u00d7\u00f7\u2212-]|\b(?:sqrt|abs|round|floor|ceil|min|max|ln|log|sin|cos|tan|pi)\b)+"
)
_OPERATION: Final = re.compile(r"[\d)]\s*(?:[+*/^%\u00d7\u00f7\u2212-])\s*[\d(a-z.]|[a-z]\s*\(")
_DATE_LIKE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}|\d+(?:-\d+){2,}")

_TIME: Final = re.compile(
    r"\bwhat(?:'s| is)? (?:the )?(?:current |local )?(?:time|date|day|hour)(?: and (?:time|date))?"
    r"(?: is it| is today| today| now| of today| right now| it is)?\b"
    r"(?P<where>(?: (?:in|at|for) [\w/ +'-]+)?)(?: (?:right )?now| today)?\s*\??$|"
    r"^(?:current|today's|the) (?:time|date)(?P<there>(?: (?:in|at) [\w/ +'-]+)?)\s*\??$|"
    r"^what(?:'s| is) today(?:'s date)?\s*\??$",
    re.IGNORECASE,
)

_NOTE: Final = re.compile(
    r"^(?:please\s+)?(?:remember|(?:save|take|make|write down|add)(?:\s+an?)?\s+note|note down)"
    r"(?:\s+that\b|\s*:)?\s+(?P<text>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_TITLE: Final = 60

# Ids as services make them: UUIDs, long hexadecimal words, and words like doc_4f9a1c….
_IDENTIFIER: Final = re.compile(
    r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24,64}|[a-z]{2,8}_[0-9A-Za-z]{8,64}|"
    r"[0-9A-HJKMNP-TV-Z]{26})\b"
)
_URL: Final = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)]", re.IGNORECASE)
_READS: Final = re.compile(r"\b(?:read|show|open|display|print|get|what does)\b", re.IGNORECASE)
_FETCHES: Final = re.compile(
    r"\b(?:read|show|open|fetch|get|load|look at|what (?:does|is|stands)|summari[sz]e)\b",
    re.IGNORECASE,
)


def by_rule(request: str) -> Chosen | None:
    """The tool call that *request* plainly asks for."""
    request = request.strip()
    if len(request) > 300:
        return None
    if (expression := expression_in(request)) is not None:
        return Chosen("calculate", {"expression": expression})
    if (found := _TIME.search(request)) is not None:
        where = (found["where"] or found["there"] or "").strip()
        zone = time_zone(re.sub(r"^(?:in|at|for) ", "", where)) if where else "UTC"
        return None if zone is None else Chosen("current_time", {"timezone": zone})
    if (note := _NOTE.match(request)) is not None:
        text = note["text"]
        return Chosen("save_note", {"title": text[:_TITLE].strip(), "text": text})
    if len(urls := _URL.findall(request)) == 1 and (_FETCHES.search(request) or urls[0] == request):
        return Chosen("fetch_page", {"url": urls[0]})
    identifiers = identifiers_in(request)
    if len(identifiers) == 1 and _READS.search(request):
        return Chosen("read_document", {"document_id": identifiers[0]})
    return None


def expression_in(request: str) -> str | None:
    """The sum that *request* consists of, None if it is about something else too."""
    text = _ASKS.sub("", request).strip().rstrip("?=.! ")
    for spoken, written in _SPOKEN:
        text = re.sub(spoken, written, text, flags=re.IGNORECASE)
    text = text.strip()
    if not _EXPRESSION.fullmatch(text.lower()) or _DATE_LIKE.fullmatch(text):
        return None
    return text if _OPERATION.search(text.lower()) else None


def identifiers_in(text: str) -> list[str]:
    """The words of *text* that name a thing by its id."""
    return list(dict.fromkeys(_IDENTIFIER.findall(text)))


def time_zone(place: str) -> str | None:
    """The IANA time zone called *place*, by its full name or its city."""
    return _zones().get(place.strip(" ?.").lower().replace(" ", "_"))


@cache
def _zones() -> dict[str, str]:
    zones: dict[str, str] = {}
    for zone in sorted(available_timezones()):
        zones.setdefault(zone.rpartition("/")[2].lower(), zone)
    zones |= {zone.lower(): zone for zone in available_timezones()}
    return zones
