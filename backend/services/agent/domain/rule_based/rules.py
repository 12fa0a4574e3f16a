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
# A tracking number or an id of a package: capitals and digits with at least six digits, or pkg_….
_PACKAGE_NAME: Final = r"(?P<name>pkg_[0-9a-f]{20,40}|(?-i:(?=(?:[A-Z]*\d){6})[A-Z0-9]{8,40}))"
_PACKAGE_WORD: Final = r"(?:(?:my|the|our) )?(?:(?:package|parcel|shipment|delivery) )?"
_GERMAN_PACKAGE_WORD: Final = (
    r"(?:(?:mein|meine|das|die|unser|unsere|dem|der|meinem|meiner) )?"
    r"(?:(?:paket|sendung|lieferung|päckchen) )?"
)
_PACKAGE_REQUESTS: Final = tuple(
    (re.compile(pattern + r"\W*$", re.IGNORECASE), tool, arguments)
    for pattern, tool, arguments in (
        (
            (
                rf"^why (?:is|was|has) {_PACKAGE_WORD}{_PACKAGE_NAME}"
                r"(?: (?:so|been|still|running|delivered))* (?:late|delayed|overdue|stuck|slow)"
            ),
            "investigate_package",
            {},
        ),
        (
            (
                rf"^(?:warum|wieso|weshalb) (?:ist|war|kommt) {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME}"
                r"(?: (?:so|zu|noch|nicht))* (?:versp\w+tet|sp\w+t|pünktlich|langsam|angekommen)"
            ),
            "investigate_package",
            {},
        ),
        (
            rf"^was stimmt (?:mit|bei) {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME} nicht",
            "investigate_package",
            {"subject": "anomaly"},
        ),
        (
            (
                rf"^wann (?:kommt|wird) {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME}"
                r" (?:an|ankommen|geliefert|zugestellt)"
            ),
            "predict_package",
            {},
        ),
        (
            rf"^wo ist {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME}",
            "get_package",
            {},
        ),
        (
            rf"^(?:what(?:'s| is) wrong with|investigate|check) {_PACKAGE_WORD}{_PACKAGE_NAME}",
            "investigate_package",
            {"subject": "anomaly"},
        ),
        (
            (
                rf"^(?:when (?:will|does|is)|will) {_PACKAGE_WORD}{_PACKAGE_NAME}"
                r" (?:arriv\w+|be (?:delivered|late|there|on time)|come|due|expected)"
            ),
            "predict_package",
            {},
        ),
        (
            (
                rf"^(?:where(?:'s| is)|track|(?:what(?:'s| is) the )?status of) "
                rf"{_PACKAGE_WORD}{_PACKAGE_NAME}"
            ),
            "get_package",
            {},
        ),
    )
)
_LATE_PACKAGES: Final = re.compile(
    r"^(?:which|what|show(?: me)?|list)(?: all)?(?: my| our| the)? "
    r"(?:(?:packages|parcels|shipments) (?:are|is) (?:late|delayed|overdue)"
    r"|(?:late|delayed|overdue) (?:packages|parcels|shipments))\W*$",
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
    if (call := _match_package(request)) is not None:
        return call
    identifiers = find_identifiers(request)
    if len(identifiers) == 1 and _READS.search(request):
        return PlannedToolCall("read_document", {"document_id": identifiers[0]})
    return None


def _match_package(request: str) -> PlannedToolCall | None:
    """Return the call that a question about a package needs, or None."""
    if _LATE_PACKAGES.search(request):
        return PlannedToolCall("find_packages", {"late": True})
    for pattern, tool, arguments in _PACKAGE_REQUESTS:
        if match := pattern.search(request):
            return PlannedToolCall(tool, {"package": match["name"]} | arguments)
    return None


def find_identifiers(text: str) -> list[str]:
    """Return the ids in *text*, without duplicates."""
    return list(dict.fromkeys(_IDENTIFIER.findall(text)))
