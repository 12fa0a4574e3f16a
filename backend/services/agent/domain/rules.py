"""Requests that need no model to understand: sums, the time, lists, notes, and things by their id.

In English, and as far as a newcomer tries them, in German, French, Spanish and Italian.
"""

import re
from typing import Final

from backend.services.agent.clients.mind import Chosen
from backend.services.agent.domain.places import time_zone

_POLITE: Final = re.compile(
    r"^(?:(?:please|hey|hi|hello|ok|so|and|then|now),?\s+|"
    r"(?:can|could|would|will) you (?:please )?|"
    r"(?:i (?:want|need|would like)|i'd like) (?:you )?to (?:know )?|tell me,? ?|"
    r"(?:do you )?know |let me know )+|"
    r"[,\s]+(?:please|for me|thanks|thank you|bitte|por favor|s'il (?:te|vous) plaît)(?=[.?!\s]*$)",
    re.IGNORECASE,
)

_ASKS: Final = re.compile(
    r"^(?:what(?:'s| is| are)\s+|how much (?:is|are)\s+|was (?:ist|sind|macht)\s+|wie ?viel ist\s+|"
    r"combien font\s+|(?:¿\s*)?cuánto (?:es|son)\s+|quanto fa\s+|berechne\s+|rechne\s+|"
    r"(?:calculate|compute|evaluate|work out|solve|the (?:result|value|sum) of)\s+)+",
    re.IGNORECASE,
)
_NUMBER: Final = r"[$€£]?\s?[\d.,]*\d%?"
_SPOKEN: Final = (
    (rf"^add ({_NUMBER}) (?:and|to) ({_NUMBER})$", r"\1 + \2"),
    (rf"^(?:the )?sum of ({_NUMBER}) and ({_NUMBER})$", r"\1 + \2"),
    (rf"^subtract ({_NUMBER}) from ({_NUMBER})$", r"\2 - \1"),
    (rf"^multiply ({_NUMBER}) (?:by|and|with) ({_NUMBER})$", r"\1 * \2"),
    (rf"^divide ({_NUMBER}) by ({_NUMBER})$", r"\1 / \2"),
    (rf"({_NUMBER}) tip on ", r"\1 of "),
    (r"\bdivided by\b|\bover\b|\bgeteilt durch\b|\bdivisé par\b|\bdividido (?:por|entre)\b", "/"),
    (
        (
            r"\bmultiplied by\b|\btimes\b|\bmal\b|\bfois\b|\bper\b(?=\s*\d)|\bpor\b(?=\s*\d)|"
            r"(?<=[\d)])\s*x\s*(?=[\d(])"
        ),
        "*",
    ),
    (r"\bplus\b|\badded to\b|\bmás\b|\bpiù\b", "+"),
    (r"\bminus\b|\bmoins\b|\bmenos\b|\bmeno\b", "-"),
    (r"\bmodulo\b|\bmod\b", "%"),
    (r"\bto the power of\b", "^"),
    (r"\bsquared\b", "^2"),
    (r"\bcubed\b", "^3"),
    (r"\b(?:the )?square root of\s*([\d.]+|\([^()]*\))", r"sqrt(\1)"),
    (
        r"([\d.]+)\s*(?:%|percent|per cent|prozent|pour ?cent|por ciento)\s+(?:of|von|de)\s+",
        r"\1/100*",
    ),
    (r"\b(?:a )?half of\s+", "1/2*"),
    (r"\b(?:a )?third of\s+", "1/3*"),
    (r"\b(?:a )?quarter of\s+", "1/4*"),
    (r"\b(?:double|twice)\s+(?=\d)", "2*"),
    (r"(\d+\s*/\s*\d+)\s+of\s+", r"\1*"),
    (r"[$€£]\s?(?=\d)|(?<=\d)\s?[$€£]", ""),
)
_EXPRESSION: Final = re.compile(
    r"(?:[\d\s.,+*/^%()\u00d7\u00f7\u2212-]|\b(?:sqrt|abs|round|floor|ceil|min|max|ln|log|sin|cos|tan|pi)\b)+"
)
_OPERATION: Final = re.compile(r"[\d)]\s*(?:[+*/^%\u00d7\u00f7\u2212-])\s*[\d(a-z.]|[a-z]\s*\(")
_DATE_LIKE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}|\d+(?:-\d+){2,}")

_WHERE: Final = r"(?: (?:in|at|for|à|en|a) (?P<where>[\w/ +'-]+?))?"
_NOW: Final = r"(?: (?:right now|now|just now|today|currently|at the moment|jetzt|gerade))?"
_TIMES: Final = tuple(
    re.compile(rf"(?:{asked}){_NOW}{_WHERE}{_NOW}\s*[?.!]*$", re.IGNORECASE)
    for asked in (
        r"^(?:time|date)(?= (?:right )?now)",
        (
            r"^(?:what(?:'s| is)?|which|the|current|today's|local)(?: the)?"
            r"(?: current| local| today's)?"
            r" (?:time|date|hour|day|year|month|weekday|day of the week)(?: and (?:time|date))?"
            r"(?: is it| is today| of today| it is| do we have)?"
        ),
        r"^what(?:'s| is) today(?:'s date)?",
        r"^what (?:time|day|date|year|month) (?:is|it is) (?:it|today)",
        r"^(?:the )?time(?= (?:in|at|for) )",
        (
            r"^wie (?:spät|viel uhr) ist es|^wieviel uhr ist es|^welche[rn]? (?:tag|datum|uhrzeit) "
            r"(?:ist|haben wir)(?: heute)?|^welches datum (?:ist|haben wir)(?: heute)?"
        ),
        r"^quelle heure est[- ]il|^quel(?:le)? (?:jour|date) (?:est-on|sommes-nous)",
        r"^¿?\s*qu[ée] (?:hora es|d[íi]a es(?: hoy)?)",
        r"^che (?:ora è|ore sono|giorno è(?: oggi)?)",
    )
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
_TITLE: Final = 60

# Ids as services make them: UUIDs, long hexadecimal words, and words like doc_4f9a1c….
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


def by_rule(request: str) -> Chosen | None:
    """The tool call that *request* plainly asks for."""
    whole = request.strip()
    if len(whole) > 300:
        return None
    request = _POLITE.sub("", whole).strip()
    if (expression := expression_in(request)) is not None:
        return Chosen("calculate", {"expression": expression})
    if (zone := zone_asked(request)) is not None:
        return Chosen("current_time", {"timezone": zone})
    if any(pattern.search(request.rstrip("?!. ")) for pattern in _LISTS):
        return Chosen("list_documents", {})
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


def zone_asked(request: str) -> str | None:
    """The time zone whose time *request* asks for, UTC if it names none."""
    for pattern in _TIMES:
        if (found := pattern.search(request)) is not None:
            return "UTC" if found["where"] is None else time_zone(found["where"])
    return None


def identifiers_in(text: str) -> list[str]:
    """The words of *text* that name a thing by its id."""
    return list(dict.fromkeys(_IDENTIFIER.findall(text)))
