"""EPCIS 2.0 documents in JSON: tracking events as object events, in and out.

Fields that are read are checked; others are ignored.

https://ref.gs1.org/standards/epcis/2.0.0/ and https://ref.gs1.org/standards/cbv/2.0.0/
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

from pydantic import ValidationError

from backend.chassis.messaging.audit_events import format_time
from backend.services.packages.domain.carrier_codes import CARRIER_CODE, TranslatedCode
from backend.services.packages.domain.event_input import EventInput
from backend.services.packages.domain.event_schemas import MAX_SEQUENCE, LocationInput
from backend.services.packages.domain.event_times import InvalidTime, parse_event_time
from backend.services.packages.domain.tracking_numbers import (
    identify,
    is_number,
    normalize,
)
from backend.services.packages.model import EventCode, Location, Package, Reason, TrackingEvent

Member = TypeVar("Member", bound=StrEnum)

CONTEXT: Final = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
MAX_EVENTS: Final = 500
_NAMESPACE: Final = "urn:ai-agent-system:packages"
CARRIER_ADVICE: Final = f"Write the package as {_NAMESPACE}:CARRIER:NUMBER."
_PREFIX: Final = "pkg"
_EVENT_URI: Final = f"{_NAMESPACE}:event:"
# Ids of `build_event_id`.
_GENERATED_ID: Final = re.compile(r"evt_[0-9a-f]{32}")
_MAX_ID_CHARACTERS: Final = 200
_MAX_DECLARED_CHARACTERS: Final = _MAX_ID_CHARACTERS - len("error:")
# Of a URI, which can have three characters for one of the id.
_MAX_URI_CHARACTERS: Final = 2000
# A TransformationEvent makes other objects of its inputs, which are no packages any more.
_EVENT_TYPES: Final = ("ObjectEvent", "AggregationEvent", "AssociationEvent", "TransactionEvent")
_ACTIONS: Final = ("ADD", "OBSERVE", "DELETE")
_OFFSET: Final = re.compile(r"[+-](0\d|1[0-3]):[0-5]\d|[+-]14:00", re.ASCII)
_SSCC_URN: Final = "urn:epc:id:sscc:"
# Application identifiers of GS1 in URIs such as https://id.gs1.org/00/106141412345678908: of an
# SSCC, and of what is no package, such as articles (01, with their serial numbers 21), places (414)
# and returnable assets (8003).
_SSCC_KEY: Final = "00"
_OTHER_KEYS: Final = frozenset(
    [
        "01",
        "10",
        "21",
        "253",
        "255",
        "401",
        "402",
        "414",
        "417",
        "8003",
        "8004",
        "8006",
        "8010",
        "8017",
        "8018",
    ]
)
_SSCC_DIGITS: Final = 18
# Carrier of packages that have an SSCC (serial shipping container code) and no known carrier. The
# code names the company that packed the container.
_SSCC_CARRIER: Final = "sscc"
# Our code of each business step, and the step of each code. Steps of the Core Business Vocabulary.
_CODES: Final[Mapping[str, EventCode]] = {
    "commissioning": EventCode.ANNOUNCED,
    "collecting": EventCode.PICKED_UP,
    "accepting": EventCode.ACCEPTED,
    "shipping": EventCode.DEPARTED,
    "departing": EventCode.DEPARTED,
    "arriving": EventCode.ARRIVED,
    "receiving": EventCode.DELIVERED,
    "holding": EventCode.EXCEPTION,
    "destroying": EventCode.LOST,
}
_STEPS: Final[Mapping[EventCode, str]] = {
    EventCode.ANNOUNCED: "commissioning",
    EventCode.PICKED_UP: "collecting",
    EventCode.ACCEPTED: "accepting",
    EventCode.DEPARTED: "departing",
    EventCode.ARRIVED: "arriving",
    EventCode.DELIVERED: "receiving",
    EventCode.EXCEPTION: "holding",
    EventCode.CUSTOMS_HELD: "holding",
}
_RETURNED: Final = "returned"


class InvalidDocument(ValueError):
    """The document is not EPCIS 2.0. *pointer* is the invalid part."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class EpcisReport:
    """An event of a document and the package it belongs to.

    *carrier* is None if not given. *default_carrier* is that of a new package whose number does not
    name one, or None. *epc_pointer* is the URI of the package in the document.
    """

    pointer: str
    epc_pointer: str
    number: str
    carrier: str | None
    event: EventInput

    @property
    def default_carrier(self) -> str | None:
        return _SSCC_CARRIER if _is_sscc(self.number) else None


def build_document(
    package: Package, events: Sequence[TrackingEvent], now: datetime
) -> dict[str, Any]:
    """Return an EPCIS document of the events of *package*."""
    return {
        "@context": [CONTEXT, {_PREFIX: f"{_NAMESPACE}:"}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": format_time(now),
        "epcisBody": {"eventList": [_build_event(package, event) for event in events]},
    }


def read_document(document: Mapping[str, Any]) -> list[EpcisReport]:
    """Return the events of an EPCIS document, or of a single event.

    Raises:
        InvalidDocument: it is not EPCIS 2.0, or an event names no package.
    """
    if document.get("type") != "EPCISDocument":
        events: Any = [document]
        path = "#"
    else:
        body = document.get("epcisBody")
        events = body.get("eventList") if isinstance(body, dict) else None
        path = "#/epcisBody/eventList"
        if not isinstance(events, list):
            raise InvalidDocument(path, "The document has no list of events.")
    if len(events) > MAX_EVENTS:
        raise InvalidDocument(path, f"A document can have at most {MAX_EVENTS} events.")
    reports: list[EpcisReport] = []
    for index, event in enumerate(events):
        pointer = path if path == "#" else f"{path}/{index}"
        reports.extend(_read_event(event, pointer))
    return reports


def _build_event(package: Package, event: TrackingEvent) -> dict[str, Any]:
    content: dict[str, Any] = {
        "type": "ObjectEvent",
        "eventID": event.external_id
        if event.external_id and ":" in event.external_id
        else f"{_EVENT_URI}{quote(event.external_id or event.id, safe='')}",
        "action": "OBSERVE",
        "eventTime": format_time(event.occurred_at),
        "eventTimeZoneOffset": _get_offset(event),
        "epcList": [_build_epc(package)],
        f"{_PREFIX}:code": str(event.code),
    }
    if event.sequence is not None:
        content[f"{_PREFIX}:sequence"] = event.sequence
    if event.received_at is not None:
        content["recordTime"] = format_time(event.received_at)
    if step := _STEPS.get(event.code):
        content["bizStep"] = step
    if event.code in (EventCode.RETURN_STARTED, EventCode.RETURNED):
        content["disposition"] = _RETURNED
    elif event.code == EventCode.DEPARTED:
        content["disposition"] = "in_transit"
    if event.location is not None:
        if event.location.key:
            place = f"{_NAMESPACE}:place:{quote(event.location.key, safe='')}"
            content["readPoint"] = {"id": place}
        content[f"{_PREFIX}:location"] = event.location.to_json()
    for name, value in (
        ("reason", event.reason and str(event.reason)),
        ("detail", event.detail),
        ("rawCode", event.raw_code),
        ("corrects", event.corrects),
    ):
        if value:
            content[f"{_PREFIX}:{name}"] = value
    return content


def _build_epc(package: Package) -> str:
    number = package.number
    # A URI of GS1 does not name the carrier.
    if _is_sscc(number) and package.carrier in (_SSCC_CARRIER, identify(number).carrier):
        return f"https://id.gs1.org/00/{number}"
    return f"{_NAMESPACE}:{quote(package.carrier, safe='')}:{quote(number, safe='')}"


def _get_offset(event: TrackingEvent) -> str:
    text = event.local_time or ""
    offset = text[-6:]
    if event.time_basis == "offset" and offset[:1] in ("+", "-") and offset[3:4] == ":":
        return offset
    return "+00:00"


def _read_event(event: Any, pointer: str) -> Iterator[EpcisReport]:
    if not isinstance(event, dict):
        raise InvalidDocument(pointer, "The event is not a JSON object.")
    _check_type(event, pointer)
    translated = _get_code(event, pointer)
    given = EventInput(
        code=_get_raw_code(event, translated, pointer),
        occurred_at=_get_time(event, pointer),
        location=_get_location(event, pointer),
        reason=_get_member(Reason, event, "reason", pointer),
        detail=_get_text(event, f"{_PREFIX}:detail", pointer, 2000),
        external_id=_get_event_id(event, pointer),
        sequence=_get_sequence(event, pointer),
        corrects=_get_text(event, f"{_PREFIX}:corrects", pointer, 200),
        translated=translated,
    )
    declaration = _get_object(event, "errorDeclaration", pointer)
    if declaration is not None:
        given = _build_correction(given, declaration, pointer)
    for number, carrier, epc_pointer in _list_packages(event, pointer):
        yield EpcisReport(pointer, epc_pointer, number, carrier, given)


def _check_type(event: Mapping[str, Any], pointer: str) -> None:
    kind = _get_text(event, "type", pointer, 200)
    if kind not in _EVENT_TYPES:
        raise InvalidDocument(
            f"{pointer}/type",
            f"Only these types of events can be recorded: {', '.join(_EVENT_TYPES)}.",
        )
    action = _get_text(event, "action", pointer, 200)
    if action is not None and action not in _ACTIONS:
        raise InvalidDocument(f"{pointer}/action", f"Write one of {', '.join(_ACTIONS)}.")
    _get_text(event, "recordTime", pointer, 40)


def _get_event_id(event: Mapping[str, Any], pointer: str) -> str | None:
    """Return the external id that the event was exported with, or its eventID.

    An event that was exported without an external id has none again: its duplicate key follows from
    its content, so that it is not recorded twice.
    """
    event_id = _get_text(event, "eventID", pointer, _MAX_URI_CHARACTERS)
    if event_id is None:
        return None
    if event_id.startswith(_EVENT_URI):
        event_id = unquote(event_id[len(_EVENT_URI) :])
        if not event_id or _GENERATED_ID.fullmatch(event_id):
            return None
    if len(event_id) > _MAX_ID_CHARACTERS:
        raise InvalidDocument(
            f"{pointer}/eventID", f"The id has more than {_MAX_ID_CHARACTERS} characters."
        )
    return event_id


def _get_time(event: Mapping[str, Any], pointer: str) -> str:
    """Return the eventTime with its eventTimeZoneOffset, which is that of the place."""
    time = _get_text(event, "eventTime", pointer, 40)
    if time is None:
        raise InvalidDocument(f"{pointer}/eventTime", "The event has no eventTime.")
    offset = _get_text(event, "eventTimeZoneOffset", pointer, 40)
    if offset is not None and not _OFFSET.fullmatch(offset):
        raise InvalidDocument(
            f"{pointer}/eventTimeZoneOffset", "Write an offset from UTC, such as +01:00."
        )
    try:
        parsed = parse_event_time(time, None)
    except InvalidTime as error:
        raise InvalidDocument(f"{pointer}/eventTime", str(error)) from error
    if offset is None:
        return time
    if parsed.basis != "offset":
        return f"{parsed.local_time}{offset}"
    return parsed.utc.astimezone(datetime.strptime(offset, "%z").tzinfo).isoformat()


def _build_correction(
    wrong: EventInput, declaration: Mapping[str, Any], pointer: str
) -> EventInput:
    """Return the event that declares *wrong* an error. Its correction is another event."""
    _get_text(declaration, "declarationTime", f"{pointer}/errorDeclaration", 40)
    reason = _get_text(declaration, "reason", f"{pointer}/errorDeclaration", _MAX_URI_CHARACTERS)
    if wrong.external_id is None:
        raise InvalidDocument(
            f"{pointer}/eventID",
            "An event with an errorDeclaration needs the eventID of the wrong event.",
        )
    return EventInput(
        code="errorDeclaration",
        occurred_at=wrong.occurred_at,
        detail=reason,
        # URIs differ at their ends.
        external_id=f"error:{wrong.external_id[-_MAX_DECLARED_CHARACTERS:]}",
        corrects=wrong.external_id,
        translated=TranslatedCode(EventCode.NOTE),
    )


def _get_raw_code(event: Mapping[str, Any], translated: TranslatedCode, pointer: str) -> str:
    """Return the carrier's code, or else the business step that was translated."""
    raw_code = _get_text(event, f"{_PREFIX}:rawCode", pointer, 64)
    step = event.get("bizStep") if event.get(f"{_PREFIX}:code") is None else None
    return (raw_code or step or translated.code)[:64]


def _get_code(event: Mapping[str, Any], pointer: str) -> TranslatedCode:
    own = _get_member(EventCode, event, "code", pointer)
    step = _get_word(event, "bizStep", "BizStep-", pointer)
    disposition = _get_word(event, "disposition", "Disp-", pointer)
    if own is not None:
        # The duplicate keys of notes with codes that no table has contain these codes.
        is_known = own != EventCode.NOTE or event.get(f"{_PREFIX}:rawCode") is None
        return TranslatedCode(own, is_known=is_known)
    if disposition == _RETURNED:
        is_end = step == "receiving"
        return TranslatedCode(EventCode.RETURNED if is_end else EventCode.RETURN_STARTED)
    code = _CODES.get(step)
    return TranslatedCode(EventCode.NOTE, is_known=False) if code is None else TranslatedCode(code)


def _get_word(event: Mapping[str, Any], name: str, prefix: str, pointer: str) -> str:
    """Return the word of a vocabulary: the end of its URI, or the bare word."""
    return _get_last_part(_get_text(event, name, pointer, _MAX_URI_CHARACTERS) or "").removeprefix(
        prefix
    )


def _get_member(
    kind: type[Member], event: Mapping[str, Any], name: str, pointer: str
) -> Member | None:
    text = _get_text(event, f"{_PREFIX}:{name}", pointer, 64)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise InvalidDocument(
            f"{pointer}/{_PREFIX}:{name}", f"Write one of {', '.join(kind)}."
        ) from None


def _get_sequence(event: Mapping[str, Any], pointer: str) -> int | None:
    value = event.get(f"{_PREFIX}:sequence")
    is_valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQUENCE
    if value is not None and not is_valid:
        raise InvalidDocument(
            f"{pointer}/{_PREFIX}:sequence", f"Write an integer from 0 to {MAX_SEQUENCE}."
        )
    return value


def _list_packages(event: Mapping[str, Any], pointer: str) -> list[tuple[str, str | None, str]]:
    """Return number, carrier and pointer of each package of the event.

    The parent is a package, and so are the objects that it contains if their URIs name packages.
    Articles and other things that have keys of GS1 are none.
    """
    parent = _get_text(event, "parentID", pointer, _MAX_URI_CHARACTERS)
    epcs = [
        (epc, f"{pointer}/{name}/{index}")
        for name in ("epcList", "childEPCs")
        for index, epc in enumerate(_get_epcs(event, name, pointer))
        if (_is_package(epc) if parent else not _is_other_thing(epc))
    ]
    if parent and not _is_other_thing(parent):
        epcs.insert(0, (parent, f"{pointer}/parentID"))
    if not epcs:
        raise InvalidDocument(
            f"{pointer}/epcList",
            "The event names no package. A package has an SSCC, or a URI that ends in its tracking "
            "number.",
        )
    if len(epcs) > MAX_EVENTS:
        raise InvalidDocument(
            f"{pointer}/epcList", f"An event can have at most {MAX_EVENTS} packages."
        )
    return [(*_parse_epc(epc, epc_pointer), epc_pointer) for epc, epc_pointer in epcs]


def _get_epcs(event: Mapping[str, Any], name: str, pointer: str) -> Sequence[str]:
    epcs = event.get(name)
    if epcs is None:
        return ()
    if not isinstance(epcs, list):
        raise InvalidDocument(f"{pointer}/{name}", "Write a list of URIs.")
    for index, epc in enumerate(epcs):
        if not isinstance(epc, str):
            raise InvalidDocument(f"{pointer}/{name}/{index}", "Write a URI.")
    return epcs


def _is_package(epc: str) -> bool:
    """Return whether the URI names a package for certain."""
    if epc.startswith((f"{_NAMESPACE}:", _SSCC_URN)):
        return True
    number = _get_last_part(epc.rstrip("/"))
    is_long = len(number) == _SSCC_DIGITS and number.isascii() and number.isdigit()
    return is_long and _get_gs1_key(epc) == _SSCC_KEY


def _is_other_thing(epc: str) -> bool:
    """Return whether the URI has a key of GS1 that is not one of packages."""
    if epc.startswith("urn:epc:"):
        return not epc.startswith(_SSCC_URN)
    return _get_gs1_key(epc) in _OTHER_KEYS


def _get_gs1_key(epc: str) -> str:
    """Return the part before the last one of an HTTP URI, which is the key if it is of GS1."""
    parts = epc.rstrip("/").rsplit("/", 2)
    is_http = epc.startswith(("http://", "https://"))
    return parts[1] if is_http and len(parts) == 3 else ""


def _parse_epc(epc: str, pointer: str) -> tuple[str, str | None]:
    """Return number and carrier of a URI: ours, an SSCC, or any with a number at its end."""
    if epc.startswith(f"{_NAMESPACE}:"):
        carrier, _, number = epc[len(_NAMESPACE) + 1 :].partition(":")
        carrier = unquote(carrier)
        if carrier and not CARRIER_CODE.fullmatch(carrier):
            raise InvalidDocument(pointer, "The URI has no valid code of a carrier.")
        return _check_number(unquote(number), pointer), carrier or None
    if epc.startswith(_SSCC_URN):
        return _check_number(_build_sscc(_get_last_part(epc), pointer), pointer), None
    number = _check_number(unquote(_get_last_part(epc.rstrip("/"))), pointer)
    if _is_package(epc) and not _is_sscc(number):
        raise InvalidDocument(pointer, "The check digit of the SSCC is wrong.")
    return number, None


def _get_last_part(uri: str) -> str:
    return uri.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def _build_sscc(text: str, pointer: str) -> str:
    """Return the 18 digits of `COMPANY.SERIAL`: extension digit first, check digit last."""
    company, _, serial = text.partition(".")
    digits = serial[:1] + company + serial[1:]
    if len(digits) != _SSCC_DIGITS - 1 or not (digits.isascii() and digits.isdigit()):
        raise InvalidDocument(pointer, "The SSCC has not 17 digits.")
    return f"{digits}{_compute_check_digit(digits)}"


def _is_sscc(number: str) -> bool:
    is_number = len(number) == _SSCC_DIGITS and number.isascii() and number.isdigit()
    return is_number and int(number[-1]) == _compute_check_digit(number[:-1])


def _compute_check_digit(digits: str) -> int:
    """Return the check digit of a GS1 key (GS1 General Specifications, 7.9.1)."""
    total = sum(
        int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits))
    )
    return -total % 10


def _check_number(text: str, pointer: str) -> str:
    number = normalize(text)
    if not is_number(number):
        raise InvalidDocument(pointer, "The URI has no tracking number.")
    return number


def _get_location(event: Mapping[str, Any], pointer: str) -> Location | None:
    places = [_get_place(event, name, pointer) for name in ("readPoint", "bizLocation")]
    name = f"{_PREFIX}:location"
    own = _get_object(event, name, pointer) or {}
    known = {key: value for key, value in own.items() if key in LocationInput.model_fields}
    try:
        location = LocationInput.model_validate(known, strict=True).to_location()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidDocument(f"{pointer}/{name}/{first['loc'][0]}", first["msg"]) from None
    return location or next((Location(name=place[:200]) for place in places if place), None)


def _get_place(event: Mapping[str, Any], name: str, pointer: str) -> str | None:
    place = _get_object(event, name, pointer)
    if place is None:
        return None
    uri = _get_text(place, "id", f"{pointer}/{name}", _MAX_URI_CHARACTERS)
    if uri is None:
        raise InvalidDocument(f"{pointer}/{name}/id", "The place has no id.")
    return uri


def _get_object(content: Mapping[str, Any], name: str, pointer: str) -> Mapping[str, Any] | None:
    value = content.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidDocument(f"{pointer}/{name}", "Write a JSON object.")
    return value


def _get_text(
    content: Mapping[str, Any], name: str, pointer: str, max_characters: int
) -> str | None:
    value = content.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > max_characters:
        raise InvalidDocument(
            f"{pointer}/{name}", f"Write a text of 1 to {max_characters} characters."
        )
    return value
