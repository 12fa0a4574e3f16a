"""Parser of iCalendar (RFC 5545): events, tasks and journal entries as readable lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.content import Content, Page, TextBuilder

_FOLD = re.compile(r"\r?\n[ \t]")
_LINE_END = re.compile(r"\r\n|\n|\r")
# RFC 5545, section 3.1: parameter values are quoted if they contain a colon, semicolon or comma.
_CONTENT_LINE = re.compile(r'([A-Za-z0-9.-]+)((?:;[^:;="]+=(?:"[^"]*"|[^":;])*)*):(.*)', re.S)
_PARAMETER = re.compile(r';([^:;="]+)=((?:"[^"]*"|[^":;])*)')
_ESCAPE = re.compile(r"\\([\\;,nN:\"])")
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)?(Z)?)?")
_DURATION = re.compile(
    r"\+?P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?"
)
_COMPONENTS = {"VEVENT": "Event", "VTODO": "Task", "VJOURNAL": "Journal entry"}
# Alarms within an event have a description and times of their own.
_NESTED_COMPONENTS = ("VALARM",)


@dataclass(frozen=True, slots=True)
class _Property:
    name: str
    parameters: dict[str, str]
    value: str

    @property
    def text(self) -> str:
        """The value as TEXT (RFC 5545, section 3.3.11)."""
        return _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], self.value).strip()


@dataclass(slots=True)
class _Component:
    label: str
    properties: list[_Property] = field(default_factory=list)

    def find(self, *names: str) -> _Property | None:
        return next((each for name in names for each in self.find_all(name)), None)

    def find_all(self, name: str) -> list[_Property]:
        return [each for each in self.properties if each.name == name]


def parse_icalendar(file: Path) -> Content:
    """Return the entries of a calendar file. The title is the name of the calendar."""
    text = decode_text(file.read_bytes())
    name = next((p.text for p in _iterate_properties(text) if p.name == "X-WR-CALNAME"), "")
    page = extract_icalendar_page(text)
    title = name or (page.headings[0][1] if len(page.headings) == 1 else "")
    return Content([page if page.text else Page(text)], title)


def extract_icalendar_page(text: str) -> Page:
    """Return the events, tasks and journal entries of *text*, each under a heading."""
    page = TextBuilder()
    for component in _iterate_components(text):
        _add_component(component, page)
    return page.to_page()


def _iterate_components(text: str) -> Iterator[_Component]:
    current: _Component | None = None
    nested = 0
    for each in _iterate_properties(text):
        value = each.value.strip().upper()
        if each.name == "BEGIN" and value in _COMPONENTS:
            if current is not None:  # the end line is missing
                yield current
            current, nested = _Component(_COMPONENTS[value]), 0
        elif each.name == "BEGIN" and value in _NESTED_COMPONENTS:
            nested += 1
        elif each.name == "END" and value in _NESTED_COMPONENTS:
            nested = max(0, nested - 1)
        elif each.name == "END" and current is not None and value in _COMPONENTS:
            yield current
            current = None
        elif current is not None and not nested:
            current.properties.append(each)
    if current is not None:
        yield current


def _iterate_properties(text: str) -> Iterator[_Property]:
    for line in _LINE_END.split(_FOLD.sub("", text)):
        if match := _CONTENT_LINE.fullmatch(line):
            parameters = {
                parameter[1].upper(): parameter[2].replace('"', "")
                for parameter in _PARAMETER.finditer(match[2])
            }
            # Drop a group before the name, as in `group.NAME`: vCard, which shares this syntax,
            # allows it.
            yield _Property(match[1].upper().rpartition(".")[2], parameters, match[3])


def _add_component(component: _Component, page: TextBuilder) -> None:
    summary = component.find("SUMMARY")
    title = " ".join(summary.text.split()) if summary else ""
    page.add_heading(title or component.label)
    _add_line(page, component.label, title or "(no title)")
    start, end = component.find("DTSTART"), component.find("DTEND")
    if start:
        _add_line(page, "Start", _format_time(start))
    if end:
        is_exclusive = start is None or start.value != end.value
        _add_line(page, "End", _format_time(end, is_end=is_exclusive))
    elif start and (duration := component.find("DURATION")):
        _add_line(page, "End", _format_end(start, duration.value))
    for label, name in (("Due", "DUE"), ("Completed", "COMPLETED")):
        if found := component.find(name):
            _add_line(page, label, _format_time(found))
    for label, name in (("Recurrence date", "RDATE"), ("Except on", "EXDATE")):
        dates = [_format_time(each) for each in component.find_all(name)]
        _add_line(page, label, ", ".join(dates))
    for each in component.find_all("RRULE"):
        _add_line(page, "Repeats", each.value)
    for label, name in (("Location", "LOCATION"), ("Status", "STATUS"), ("URL", "URL")):
        if found := component.find(name):
            _add_line(page, label, found.text)
    if organizer := component.find("ORGANIZER"):
        _add_line(page, "Organizer", _format_address(organizer))
    attendees = [_format_address(each) for each in component.find_all("ATTENDEE")]
    _add_line(page, "Attendees", ", ".join(attendees))
    categories = [each.text for each in component.find_all("CATEGORIES")]
    _add_line(page, "Categories", ", ".join(categories))
    for name in ("DESCRIPTION", "COMMENT"):
        for each in component.find_all(name):
            page.add_paragraph(f"{name.capitalize()}: {each.text}" if each.text else "")
    page.break_line(blank=True)


def _add_line(page: TextBuilder, label: str, value: str) -> None:
    if value := " ".join(value.split()):
        page.add_text(f"{label}: {value}")
        page.break_line()


def _format_address(each: _Property) -> str:
    """Return name and address of an organizer or attendee (RFC 5545, section 3.3.3)."""
    address = re.sub(r"(?i)^mailto:", "", each.value.strip())
    name = each.parameters.get("CN", "").strip()
    return f"{name} <{address}>" if name and name != address and address else name or address


def _format_time(each: _Property, *, is_end: bool = False) -> str:
    """Return the dates or times of a property with their time zone.

    The end of an all-day event is exclusive (RFC 5545, section 3.6.1). Its last day is returned.
    """
    zone = each.parameters.get("TZID", "").lstrip("/")
    return ", ".join(_format_moment(value, zone, is_end) for value in each.value.split(","))


def _format_moment(value: str, zone: str, is_end: bool) -> str:
    moment = _parse_moment(value)
    if moment is None:
        return value.strip()
    if not isinstance(moment, datetime):
        return (moment - timedelta(days=1) if is_end and moment > date.min else moment).isoformat()
    return _format_datetime(moment, zone)


def _format_datetime(moment: datetime, zone: str) -> str:
    text = moment.strftime("%H:%M:%S" if moment.second else "%H:%M")
    return f"{moment.date().isoformat()} {text} {'UTC' if moment.tzinfo else zone}".rstrip()


def _format_end(start: _Property, duration: str) -> str:
    moment, match = _parse_moment(start.value), _DURATION.fullmatch(duration.strip())
    if moment is None or match is None:
        return ""
    weeks, days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    try:
        if isinstance(moment, datetime):
            return _format_datetime(moment + length, start.parameters.get("TZID", "").lstrip("/"))
        return (moment + max(length - timedelta(days=1), timedelta())).isoformat()
    except OverflowError:
        return ""


def _parse_moment(value: str) -> date | datetime | None:
    """Return a date, or a time with or without UTC (RFC 5545, sections 3.3.4 and 3.3.5)."""
    match = _TIME.fullmatch(value.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(each or 0) for each in match.groups()[:6])
    try:
        if match[4] is None:
            return date(year, month, day)
        zone = UTC if match[7] else None
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
    except ValueError:
        return None
