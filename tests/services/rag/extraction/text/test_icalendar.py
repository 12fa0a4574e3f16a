"""Parser of iCalendar."""

import pytest

from backend.services.rag.extraction.text.icalendar import parse_icalendar


def calendar(*lines, component="VEVENT"):
    return "\r\n".join(
        ["BEGIN:VCALENDAR", f"BEGIN:{component}", *lines, f"END:{component}", "END:VCALENDAR", ""]
    )


def test_event_has_all_details(parse_with):
    content = calendar(
        "SUMMARY;LANGUAGE=en:Inspection\\, second part",
        "DTSTART;TZID=Europe/Berlin:20270312T091500",
        'DTEND;TZID="Europe/Berlin":20270312T104500',
        "RRULE:FREQ=WEEKLY;BYDAY=FR",
        "LOCATION:Pump house\\; lower gate",
        "STATUS:CONFIRMED",
        'ORGANIZER;CN="Weber, Ada":mailto:ada@example.org',
        "ATTENDEE;ROLE=REQ-PARTICIPANT;CN=Bob:MAILTO:bob@example.org",
        "ATTENDEE:mailto:cy@exam",
        " ple.org",
        "BEGIN:VALARM",
        "DESCRIPTION:Reminder",
        "END:VALARM",
        "DESCRIPTION:Bring boots.\\nThe path is w",
        "\tet\\\\muddy.",
    )

    parsed = parse_with(parse_icalendar, content)

    assert parsed.title == "Inspection, second part"
    assert parsed.headings == ["Inspection, second part"]
    assert parsed.text == (
        "Event: Inspection, second part\n"
        "Start: 2027-03-12 09:15 Europe/Berlin\n"
        "End: 2027-03-12 10:45 Europe/Berlin\n"
        "Repeats: FREQ=WEEKLY;BYDAY=FR\n"
        "Location: Pump house; lower gate\n"
        "Status: CONFIRMED\n"
        "Organizer: Weber, Ada <ada@example.org>\n"
        "Attendees: Bob <bob@example.org>, cy@example.org\n"
        "Description: Bring boots.\nThe path is wet\\muddy."
    )


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["DTSTART;VALUE=DATE:20271224", "DTEND;VALUE=DATE:20271227"], "2027-12-24 2027-12-26"),
        (["DTSTART;VALUE=DATE:20271224", "DTEND;VALUE=DATE:20271224"], "2027-12-24 2027-12-24"),
        (
            ["DTSTART:20270312T230000Z", "DURATION:PT2H"],
            "2027-03-12 23:00 UTC 2027-03-13 01:00 UTC",
        ),
        (["DTSTART;VALUE=DATE:20270312", "DURATION:P1W"], "2027-03-12 2027-03-18"),
        (["DTSTART:20270312T080005"], "2027-03-12 08:00:05"),
        (["DTSTART:20279912"], "20279912"),
        (["DTSTART:99991231T230000Z", "DURATION:P9999D"], "9999-12-31 23:00 UTC"),
    ],
)
def test_times_are_shown(parse_with, lines, text):
    parsed = parse_with(parse_icalendar, calendar("SUMMARY:x", *lines))

    times = [line.partition(": ")[2] for line in parsed.text.splitlines()[1:]]
    assert " ".join(times) == text


def test_several_entries_and_time_zones_are_read_in_order(parse_with):
    content = (
        "BEGIN:VCALENDAR\nX-WR-CALNAME:Verein\nBEGIN:VTIMEZONE\nTZID:x\nBEGIN:STANDARD\n"
        "DTSTART:19700101T000000\nEND:STANDARD\nEND:VTIMEZONE\n"
        "BEGIN:VEVENT\nSUMMARY:会議\nLOCATION:図書館\nEND:VEVENT\n"
        "BEGIN:VTODO\nSUMMARY:Beitrag zahlen\nDUE;VALUE=DATE:20270601\nEND:VTODO\n"
        "BEGIN:VJOURNAL\nSUMMARY:Σημειώσεις\nEND:VJOURNAL\nEND:VCALENDAR\n"
    )

    parsed = parse_with(parse_icalendar, content)

    assert parsed.title == "Verein"
    assert parsed.text == (
        "Event: 会議\nLocation: 図書館\n\nTask: Beitrag zahlen\nDue: 2027-06-01\n\n"
        "Journal entry: Σημειώσεις"
    )


@pytest.mark.parametrize(
    "content",
    [
        "BEGIN:VEVENT\nSUMMARY:cut short",
        "BEGIN:VEVENT\nno colon\n;:\nSUMMARY:cut short\nBEGIN:VALARM\nEND:VEVENT",
        "begin:vevent\rsummary:cut short\rend:vevent",
    ],
)
def test_damaged_calendar_is_read(parse_with, content):
    assert parse_with(parse_icalendar, content).text == "Event: cut short"


def test_calendar_without_entries_is_shown_as_text(parse_with):
    assert parse_with(parse_icalendar, "BEGIN:VFREEBUSY\n").text == "BEGIN:VFREEBUSY"
