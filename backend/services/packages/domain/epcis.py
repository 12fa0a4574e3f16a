"""EPCIS 2.0 documents in JSON: tracking events as object events, in and out.

https://ref.gs1.org/standards/epcis/2.0.0/ and https://ref.gs1.org/standards/cbv/2.0.0/
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

from backend.chassis.messaging.audit_events import format_time
from backend.services.packages.domain.carrier_codes import CARRIER_CODE, TranslatedCode
from backend.services.packages.domain.event_input import EventInput
from backend.services.packages.domain.tracking_numbers import identify, normalize
from backend.services.packages.model import EventCode, Location, Package, Reason, TrackingEvent

Member = TypeVar("Member", bound=StrEnum)

CONTEXT: Final = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
MAX_EVENTS: Final = 500
_NAMESPACE: Final = "urn:ai-agent-system:packages"
_PREFIX: Final = "pkg"
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
    name one, or None.
    """

    pointer: str
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
        else f"{_NAMESPACE}:event:{quote(event.external_id or event.id, safe='')}",
        "action": "OBSERVE",
        "eventTime": format_time(event.occurred_at),
        "eventTimeZoneOffset": _get_offset(event),
        "epcList": [_build_epc(package)],
        f"{_PREFIX}:code": str(event.code),
    }
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
        if value is not None:
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
    if event.get("type") not in ("ObjectEvent", "AggregationEvent", "TransactionEvent"):
        raise InvalidDocument(f"{pointer}/type", "Only events of objects can be recorded.")
    event_id = _get_text(event, "eventID", pointer, 200)
    declaration = event.get("errorDeclaration")
    time = _get_text(event, "eventTime", pointer, 40)
    if time is None:
        raise InvalidDocument(f"{pointer}/eventTime", "The event has no eventTime.")
    translated = _get_code(event)
    code = event.get(f"{_PREFIX}:rawCode") or event.get("bizStep") or translated.code
    location = _get_location(event, pointer)
    given = EventInput(
        code=str(code)[:64],
        occurred_at=time,
        location=location,
        reason=_find_member(Reason, event.get(f"{_PREFIX}:reason")),
        detail=_get_text(event, f"{_PREFIX}:detail", pointer, 2000),
        external_id=event_id,
        corrects=_get_text(event, f"{_PREFIX}:corrects", pointer, 200),
        translated=translated,
    )
    if isinstance(declaration, dict) and event_id is not None:
        # The event with this id is wrong. Its correction is another event.
        given = EventInput(
            code="errorDeclaration",
            occurred_at=time,
            detail=str(declaration.get("reason", ""))[:200] or None,
            external_id=f"error:{event_id}"[:200],
            corrects=event_id,
            translated=TranslatedCode(EventCode.NOTE),
        )
    for number, carrier in _list_packages(event, pointer):
        yield EpcisReport(pointer, number, carrier, given)


def _get_code(event: Mapping[str, Any]) -> TranslatedCode:
    own = _find_member(EventCode, event.get(f"{_PREFIX}:code"))
    if own is not None:
        return TranslatedCode(own)
    step = _get_last_part(event.get("bizStep")).removeprefix("BizStep-")
    disposition = _get_last_part(event.get("disposition")).removeprefix("Disp-")
    if disposition == _RETURNED:
        is_end = step == "receiving"
        return TranslatedCode(EventCode.RETURNED if is_end else EventCode.RETURN_STARTED)
    code = _CODES.get(step)
    return TranslatedCode(EventCode.NOTE, is_known=False) if code is None else TranslatedCode(code)


def _find_member(kind: type[Member], value: object) -> Member | None:
    """Return the member of *kind* with *value*, or None. A value of any JSON type is accepted."""
    return kind(value) if isinstance(value, str) and value in set(kind) else None


def _list_packages(event: Mapping[str, Any], pointer: str) -> list[tuple[str, str | None]]:
    epcs = event.get("epcList") or event.get("childEPCs") or []
    if parent := event.get("parentID"):
        epcs = [parent]
    if not isinstance(epcs, list) or not all(isinstance(epc, str) for epc in epcs):
        raise InvalidDocument(f"{pointer}/epcList", "The list of EPCs is not a list of URIs.")
    if not epcs or len(epcs) > MAX_EVENTS:
        raise InvalidDocument(f"{pointer}/epcList", "The event names no package, or too many.")
    return [_parse_epc(epc, f"{pointer}/epcList/{index}") for index, epc in enumerate(epcs)]


def _parse_epc(epc: str, pointer: str) -> tuple[str, str | None]:
    """Return number and carrier of a URI: ours, an SSCC, or any with a number at its end."""
    if epc.startswith(f"{_NAMESPACE}:"):
        carrier, _, number = epc[len(_NAMESPACE) + 1 :].partition(":")
        carrier = unquote(carrier)
        if carrier and not CARRIER_CODE.fullmatch(carrier):
            raise InvalidDocument(pointer, "The URI has no valid code of a carrier.")
        return _check_number(unquote(number), pointer), carrier or None
    if epc.startswith("urn:epc:id:sscc:"):
        return _check_number(_build_sscc(_get_last_part(epc), pointer), pointer), None
    return _check_number(unquote(_get_last_part(epc.rstrip("/"))), pointer), None


def _get_last_part(uri: object) -> str:
    return str(uri or "").rsplit("/", 1)[-1].rsplit(":", 1)[-1]


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
    if not 4 <= len(number) <= 64 or not (number.isascii() and number.isalnum()):
        raise InvalidDocument(pointer, "The URI has no tracking number.")
    return number


def _get_location(event: Mapping[str, Any], pointer: str) -> Location | None:
    own = event.get(f"{_PREFIX}:location")
    if isinstance(own, dict):
        names = {"name": 200, "country": 2, "postal_code": 20, "code": 5}
        texts = {name: _get_text(own, name, pointer, size) for name, size in names.items()}
        numbers = {
            name: float(own[name])
            for name in ("lat", "lon")
            if isinstance(own.get(name), int | float) and abs(own[name]) <= 180
        }
        return Location(**texts, **numbers)  # type: ignore[arg-type]
    for name in ("readPoint", "bizLocation"):
        place = event.get(name)
        if isinstance(place, dict) and isinstance(place.get("id"), str):
            return Location(name=place["id"][:200])
    return None


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
