"""Rules that map requests to tool calls: calculations, time, document lists, notes and ids.

They cover English, and common requests in German, French, Spanish and Italian.
"""

import re
from functools import lru_cache
from typing import Final

from backend.services.agent.domain.rule_based.arithmetic_requests import (
    MAX_REQUEST_CHARACTERS,
    find_expression,
)
from backend.services.agent.domain.rule_based.package_requests import match_package_request
from backend.services.agent.domain.rule_based.time_requests import find_requested_time_zone
from backend.services.agent.engine.chat_models.planner import PlannedToolCall

_POLITE: Final = re.compile(
    r"^(?:(?:please|hey|hi|hello|ok|so|and|then|now),?\s+|"
    r"(?:can|could|would|will) you (?:please )?|"
    r"(?:i (?:want|need|would like)|i'd like) (?:you )?to (?:know )?|tell me,? ?|"
    r"(?:do you )?know |let me know )+|"
    r"[,\s]+(?:please|for me|thanks|thank you|bitte|por favor|s'il (?:te|vous) plaît)(?=[.?!\s]*$)",
    re.IGNORECASE,
)

_THINGS: Final = r"(?:documents?|docs?|files?|papers?|pdfs?|uploads?|library|collection)"
_LISTS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        (
            rf"^(?:what|which|how many) (?:are )?(?:the |my |of my )?(?:\w+ )?{_THINGS}"
            r" (?:do i have|have i|did i|are there|are in|can you (?:see|read|access)|"
            r"do you (?:have|see|know))"
        ),
        rf"^(?:show|list|display)(?: me)?(?: all)?(?: of)?(?: my| the)?(?: uploaded)? {_THINGS}$",
        r"^what (?:have i uploaded|did i upload|can you (?:read|see))(?: so far| yet| already)?$",
        rf"^(?:is|are) there (?:anything|something|any {_THINGS}) (?:in|on) my {_THINGS}(?: yet)?$",
        rf"^do (?:you|i) have (?:access to )?(?:any |my )?{_THINGS}$",
        rf"^(?:what(?:'s| is) in|what do i have in) (?:my|the) {_THINGS}$",
        r"^(?:welche|wie viele) (?:dokumente|dateien|unterlagen) (?:habe|sind|gibt|kennst)\b",
        r"^(?:zeig|liste)\w*(?: mir)?(?: alle)?(?: meine)? (?:dokumente|dateien)\b",
        r"^(?:quels|combien de)(?: sont mes)? (?:documents|fichiers)\b.{0,20}$",
        r"^¿?\s*(?:qu[ée]|cu[áa]ntos) (?:documentos|archivos) (?:tengo|hay)\b",
        r"^(?:quali|quanti) (?:documenti|file) (?:ho|ci sono)\b",
    )
)

_NOTE: Final = re.compile(
    r"^(?:note(?: to self)?\s*:|remember\b(?!\s+(?:when|how|what|who|where|why))|"
    r"(?:save|take|make|write down|add|leave|keep)(?:\s+(?:this|it))?(?:\s+(?:as|in|to))?"
    r"(?:\s+(?:an?|my))?\s+notes?\b|note down|write (?:this|it) down|jot down|"
    r"merk(?:e)? dir|notier(?:e)?|souviens-toi|recuerda|ricorda)"
    r"(?:\s+(?:that|dass|que|che)\b|\s*[:,])?\s*(?P<text>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_MAX_TITLE_CHARACTERS: Final = 60

# Ids in the formats of services: UUIDs, long hexadecimal words, and words such as doc_4f9a1c….
_IDENTIFIER: Final = re.compile(
    r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24,64}|[a-z]{2,8}_[0-9A-Za-z]{8,64}|"
    r"[0-9A-HJKMNP-TV-Z]{26})\b"
)
_URL: Final = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)]", re.IGNORECASE)
_READS: Final = re.compile(
    r"\b(?:read|show|open|display|print|get|what does|summar)", re.IGNORECASE
)
_FETCHES: Final = re.compile(
    r"\b(?:read|show|open|fetch|get|load|look at|what (?:does|is|stands)|summari[sz]e)\b",
    re.IGNORECASE,
)
_MAX_CACHED_REQUESTS: Final = 128


def match_rule(request: str) -> PlannedToolCall | None:
    """Return the tool call that a rule matches to *request*, or None."""
    text = request.strip()
    return None if len(text) > MAX_REQUEST_CHARACTERS else _match_short_request(text)


# A request and its parts are matched several times while its tool calls are chosen.
@lru_cache(_MAX_CACHED_REQUESTS)
def _match_short_request(text: str) -> PlannedToolCall | None:
    request = _POLITE.sub("", text).strip()
    if (expression := find_expression(request)) is not None:
        return PlannedToolCall("calculate", {"expression": expression})
    if (zone := find_requested_time_zone(request)) is not None:
        return PlannedToolCall("current_time", {"timezone": zone})
    if any(pattern.search(request.rstrip("?!. ")) for pattern in _LISTS):
        return PlannedToolCall("list_documents", {})
    if (note := _NOTE.match(request)) is not None:
        note_text = note["text"]
        return PlannedToolCall(
            "save_note", {"title": note_text[:_MAX_TITLE_CHARACTERS].strip(), "text": note_text}
        )
    if len(urls := _URL.findall(request)) == 1 and (_FETCHES.search(request) or urls[0] == request):
        return PlannedToolCall("fetch_page", {"url": urls[0]})
    if (call := match_package_request(request)) is not None:
        return call
    identifiers = find_identifiers(request)
    if len(identifiers) == 1 and _READS.search(request):
        return PlannedToolCall("read_document", {"document_id": identifiers[0]})
    return None


def find_identifiers(text: str) -> list[str]:
    """Return the ids in *text*, without duplicates."""
    return list(dict.fromkeys(_IDENTIFIER.findall(text)))
