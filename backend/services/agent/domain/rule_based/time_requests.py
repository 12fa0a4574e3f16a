"""Rules that recognise questions for the current date or time, and find the time zone in them."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from typing import Final

from backend.services.agent.domain.rule_based.arithmetic_requests import MAX_REQUEST_CHARACTERS
from backend.services.agent.tools.time_zones import find_time_zone

_WHERE: Final = r"(?: (?:in|at|for|à|en|a) (?P<where>[\w/ +'-]+?))?"
_NOW: Final = r"(?: (?:right now|now|just now|today|currently|at the moment|jetzt|gerade))?"
_TIMES: Final = tuple(
    re.compile(rf"(?:{question}){_NOW}{_WHERE}{_NOW}\s*[?.!]*$", re.IGNORECASE)
    for question in (
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
_PLACE: Final = r"(?P<where>[\w/ +'-]+?)"
# Whole questions, without the marks at their ends.
_OTHER_TIMES: Final = tuple(
    re.compile(question, re.IGNORECASE)
    for question in (
        rf"que horas são(?: agora)?(?: (?:em|no|na) {_PLACE})?(?: agora)?",
        r"que dia é hoje|qual é a data de hoje",
        (
            r"(?:который (?:сейчас )?час|сколько (?:сейчас )?времени|какое (?:сейчас )?время)"
            rf"(?: сейчас)?(?: (?:в|на) {_PLACE})?(?: сейчас)?"
        ),
        r"какой сегодня день(?: недели)?|какое сегодня число|какая сегодня дата",
        rf"τι ώρα είναι(?: τώρα)?(?: στ(?:ην?|ον?|ις) {_PLACE})?(?: τώρα)?",
        r"τι (?:μέρα|ημέρα|ημερομηνία) (?:είναι|έχουμε) σήμερα",
        (
            r"(?:cât e(?:ste)? (?:ora|ceasul)|ce oră e(?:ste)?)(?: acum)?"
            rf"(?: (?:în|la) {_PLACE})?(?: acum)?"
        ),
        r"ce (?:zi|dată) e(?:ste)? (?:azi|astăzi)",
        rf"(?:{_PLACE}['’]?[dt][ae] )?(?:şimdi |şu an(?:da)? )?saat kaç(?: şu an(?:da)?)?",
        r"bugün (?:günlerden ne|ayın kaçı|ne günü|tarih ne)",
        rf"(?:bây giờ |hiện tại )?(?:(?:ở|tại) {_PLACE} )?(?:bây giờ )?(?:là )?mấy giờ(?: rồi)?",
        rf"bây giờ (?:là )?mấy giờ(?: rồi)? (?:ở|tại) {_PLACE}",
        r"hôm nay (?:là )?(?:ngày mấy|thứ mấy|ngày bao nhiêu)",
        rf"(?:كم الساعة|ما (?:هو )?الوقت)(?: الآن)?(?: في {_PLACE})?(?: الآن)?",
        r"ما (?:هو )?(?:التاريخ|تاريخ) اليوم|ما هو اليوم",
        (
            r"(?:(?P<where>\S+) में )?(?:अभी )?"
            r"(?:कितने बजे हैं|क्या समय (?:है|हुआ है)|समय क्या है|कितना बजा है)"
        ),
        r"आज (?:कौन सा दिन|क्या तारीख|कौन सी तारीख|कौनसा दिन) है",
        (
            r"(?:请问|請問)?(?:现在|現在)?(?P<where>\w{2,6}?)??(?:现在|現在)?(?:的|当地)?"
            r"(?:时间|時間)?(?:现在|現在)?是?(?:几点|幾點)(?:了|钟|鐘)?"
        ),
        r"今天是?(?:几号|幾號|星期几|星期幾|周几|几月几号|幾月幾號)",
        r"(?:ตอนนี้|ขณะนี้)?(?:ที่)?(?P<where>\S+?)??(?:ตอนนี้|ขณะนี้)?กี่โมง(?:แล้ว)?(?:ครับ|คะ)?",
        r"วันนี้วัน(?:ที่เท่าไหร่|ที่เท่าไร|อะไร)",
        r"(?:今|現在)?(?P<where>\w{2,8}?)??(?:[はの])?(?:今|現在)?(?:の時間は)?何時(?:ですか)?",
    )
)
_MARKS: Final = " \t\n?!.;¿？。！؟।"


def find_requested_time_zone(request: str) -> str | None:
    """Return the time zone in which *request* asks for the time.

    It is UTC if the request names no place, and None if it does not ask for the time.
    """
    if len(request) > MAX_REQUEST_CHARACTERS:
        return None
    for pattern in _TIMES:
        if (match := pattern.search(request)) is not None:
            return _find_zone(match)
    text = " ".join(request.strip(_MARKS).split())
    for pattern in _OTHER_TIMES:
        if (match := pattern.fullmatch(text)) is not None:
            return _find_zone(match)
    return None


def _find_zone(match: re.Match[str]) -> str | None:
    where = match.groupdict().get("where")
    return "UTC" if where is None else find_time_zone(where)
