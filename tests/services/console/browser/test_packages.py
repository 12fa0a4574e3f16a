"""Screens of packages: list, details, import, map and dashboard, with a stand-in for the API."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.services.console.browser.package_examples import (
    ANSWERS,
    EVENTS,
    STATS,
    event,
    investigation,
    package,
    position,
)
from tests.services.console.browser.static_pages import AppPage, Failure, list_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NUMBER = "1Z5R89390357560001"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        service_workers="block",
        reduced_motion="reduce",
        timezone_id="Europe/Berlin",
    )
    yield context
    context.close()


@pytest.fixture
def new_app(context: BrowserContext) -> Iterator[Any]:
    """Return a function that opens a screen with answers; errors of the page fail the test."""
    apps: list[AppPage] = []

    def open_app(path: str, answers: dict[str, Any] | None = None, **options: Any) -> AppPage:
        app = AppPage(context, ANSWERS | (answers or {}), **options)
        apps.append(app)
        app.open(path)
        return app

    yield open_app
    assert [finding for app in apps for finding in app.findings] == []


def send(app: AppPage, topic: str, kind: str, **data: Any) -> None:
    """Publish an event of packages to the page."""
    content = {"id": "e", "type": f"packages.{kind}", "data": {"package_id": "pkg_1"} | data}
    frame = json.dumps({"push": {"channel": topic, "pub": {"data": content}}})
    for socket in app.sockets:
        socket.send(frame)


def wait_until_live(page: Page) -> None:
    expect(page.locator("#main")).to_contain_text("Changes appear without a reload")


def test_list_shows_status_and_arrival_with_its_delay(new_app: Any) -> None:
    page = new_app("/packages").page
    row = page.get_by_role("row").filter(has_text=NUMBER)
    expect(row).to_contain_text("In transit")
    expect(row).to_contain_text("43 hr after the promise")
    expect(row).to_contain_text("Frankfurt (DEFRA)")
    expect(page.get_by_role("row").filter(has_text="560002")).to_contain_text("days early")


def test_filters_are_in_the_address_and_in_the_request(new_app: Any) -> None:
    app = new_app("/packages?late=true&q=order")
    page = app.page
    page.get_by_label("Status").select_option("exception")
    expect(page).to_have_url("http://localhost/console/packages?late=true&q=order&status=exception")
    page.get_by_text("More filters").click()
    page.get_by_label("Expected until").fill("2026-11-30")
    expect(page).to_have_url(re.compile("eta_until=2026-11-30"))
    query, _ = app.list_calls("GET /packages")[-1]
    assert {name: query[name] for name in ("late", "q", "status", "eta_until")} == {
        "late": "true",
        "q": "order",
        "status": "exception",
        "eta_until": "2026-11-30T23:00:00.000Z",
    }


def test_export_has_the_filters_of_the_list(new_app: Any) -> None:
    page = new_app("/packages?status=exception").page
    page.get_by_role("button", name="Export").click()
    link = page.get_by_role("menuitem", name="CSV")
    expect(link).to_have_attribute("href", "/packages/export?status=exception&format=csv")


def test_selected_packages_are_exported_and_deleted(new_app: Any) -> None:
    app = new_app("/packages", {"DELETE /packages/pkg_1": None})
    page = app.page
    page.get_by_label(f"Select {NUMBER}").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"pkg_1,{NUMBER},ups,in_transit")
    page.locator(".selection-bar").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text(NUMBER)).to_have_count(0)


def test_long_list_has_few_elements_and_loads_further_pages(new_app: Any) -> None:
    def list_packages(query: dict[str, str], _: Any) -> dict[str, Any]:
        start = int(query.get("cursor") or 0)
        items = [package(number) for number in range(start, start + 100)]
        return {"items": items, "next_cursor": str(start + 100) if start < 900 else None}

    page = new_app("/packages", {"GET /packages": list_packages}).page
    expect(page.get_by_role("row").first).to_be_visible()
    for _ in range(30):
        page.locator("#main").evaluate("main => main.scrollTo(0, main.scrollHeight)")
        page.wait_for_timeout(50)
    expect(page.locator(".table-count")).to_have_text("1,000 packages")
    assert page.get_by_role("row").count() <= 60


def test_list_shows_changes_of_its_packages(new_app: Any) -> None:
    app = new_app("/packages")
    page = app.page
    wait_until_live(page)
    app.answers["GET /packages/pkg_1"] = package(status="delivered", late=False, eta=None)
    send(app, "packages", "status-changed", status="delivered")
    row = page.get_by_role("row").filter(has_text=NUMBER)
    expect(row).to_contain_text("Delivered")
    send(app, "packages", "created", package_id="pkg_9")
    send(app, "packages", "deleted")
    expect(page.get_by_role("button", name="Show 1 new package")).to_be_visible()
    expect(row).to_have_count(0)


def test_list_is_loaded_again_after_an_interruption(new_app: Any) -> None:
    app = new_app("/packages")
    page = app.page
    wait_until_live(page)
    app.answers["GET /packages"] = list_page([package(7)])
    for socket in app.sockets:
        socket.close(code=1012)
    expect(page.locator("#main")).to_contain_text("1Z5R89390357560007")
    wait_until_live(page)


def test_viewer_sees_no_actions_that_change_packages(new_app: Any) -> None:
    app = new_app("/packages", role="viewer")
    page = app.page
    expect(page.get_by_text(NUMBER)).to_be_visible()
    assert page.get_by_role("button", name="Add package").count() == 0
    assert page.get_by_role("link", name="Import").count() == 0
    app.go_to("/packages/pkg_1")
    expect(page.get_by_role("heading", name=NUMBER)).to_be_visible()
    for name in ("Add event", "Edit", "Delete"):
        assert page.get_by_role("button", name=name).count() == 0
    app.go_to("/packages/import")
    expect(page.get_by_role("heading", name="You do not have access")).to_be_visible()


def test_package_of_several_carriers_is_created_after_a_choice(new_app: Any) -> None:
    candidates = [{"pointer": "#/carrier", "detail": "A.", "carrier": c} for c in ("fedex", "dhl")]

    def create(_: Any, body: dict[str, Any]) -> Any:
        if "carrier" not in body:
            raise Failure(422, "carrier_unknown", "Give the carrier.", errors=candidates)
        return package(**body)

    app = new_app("/packages", {"POST /packages": create})
    page = app.page
    page.get_by_role("button", name="Add package").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tracking number").fill("287809468872")
    dialog.get_by_label("Origin", exact=True).fill("DEFRA")
    dialog.get_by_label("Country of destination").fill("us")
    dialog.get_by_label("Tags").fill("fragile, express")
    dialog.get_by_role("button", name="Add package").click()
    dialog.get_by_label("Carrier").select_option("dhl")
    dialog.get_by_role("button", name="Add package").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NUMBER)
    _, body = app.list_calls("POST /packages")[-1]
    assert body == {
        "tracking_number": "287809468872",
        "carrier": "dhl",
        "origin": {"code": "DEFRA"},
        "destination": {"country": "US"},
        "tags": ["fragile", "express"],
    }


def test_edit_sends_only_changed_fields_with_the_version(new_app: Any) -> None:
    app = new_app("/packages/pkg_1", {"PATCH /packages/pkg_1": package(reference="order-9")})
    page = app.page
    sent: list[str | None] = []
    page.on(
        "request",
        lambda request: request.method == "PATCH" and sent.append(request.headers.get("if-match")),
    )
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Reference").fill("order-9")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert app.list_calls("PATCH /packages/pkg_1") == [({}, {"reference": "order-9"})]
    assert sent == ['"3"']


def test_conflict_with_another_change_is_reported_in_the_dialog(new_app: Any) -> None:
    conflict = Failure(412, "version_conflict", "The package has version 4.")
    page = new_app("/packages/pkg_1", {"PATCH /packages/pkg_1": conflict}).page
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Reference").fill("order-9")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_contain_text("The package has version 4.")


def test_event_is_added_with_its_place(new_app: Any) -> None:
    answer = {"added": 1, "duplicates": 0, "package": package()}
    app = new_app("/packages/pkg_1", {"POST /packages/pkg_1/events": answer})
    page = app.page
    page.get_by_role("button", name="Add event").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Event").select_option("delayed")
    dialog.get_by_label("Time", exact=True).fill("2026-11-20T10:00")
    dialog.get_by_label("Place").fill("50.1, 8.7")
    dialog.get_by_label("Reason").select_option("weather")
    dialog.get_by_role("button", name="Add event").click()
    expect(dialog).to_have_count(0)
    ((_, body),) = app.list_calls("POST /packages/pkg_1/events")
    assert body["events"] == [
        {
            "code": "delayed",
            "occurred_at": "2026-11-20T09:00:00.000Z",
            "location": {"lat": 50.1, "lon": 8.7},
            "reason": "weather",
        }
    ]


def test_timeline_shows_places_and_local_times(new_app: Any) -> None:
    page = new_app("/packages/pkg_1").page
    items = page.locator(".timeline-item")
    expect(items).to_have_count(len(EVENTS))
    expect(items.first).to_contain_text("Nov 11, 2026, 9:00 AM (UTC+01:00) local time")
    expect(items.first).to_contain_text("Frankfurt (DEFRA)")
    expect(items.nth(2)).to_contain_text("An invoice is missing.")
    expect(items.nth(3)).to_contain_text("time zone assumed")


def test_arrival_is_drawn_and_described(new_app: Any) -> None:
    page = new_app("/packages/pkg_1").page
    drawing = page.get_by_role("img", name="with a probability of 80 % between")
    expect(drawing.locator(".arrival-band")).to_have_count(1)
    arrival = page.locator(".arrival")
    expect(arrival).to_contain_text("Late with a probability of 83%")
    expect(arrival).to_contain_text("41 earlier packages from DEFRA to USPDX")
    expect(arrival.get_by_role("meter")).to_be_visible()


def test_sentence_of_an_investigation_leads_to_its_event(new_app: Any) -> None:
    app = new_app("/packages/pkg_1")
    page = app.page
    link = page.locator(".investigation-text .event-link").first
    expect(link).to_have_attribute("href", "/console/packages/pkg_1?event=evt_4")
    link.focus()
    page.keyboard.press("Enter")
    target = page.locator("#event-evt_4")
    expect(target).to_be_focused()
    expect(target).to_have_class("timeline-item highlighted")


def test_address_of_an_event_marks_it(new_app: Any) -> None:
    page = new_app("/packages/pkg_1?event=evt_2").page
    expect(page.locator("#event-evt_2")).to_have_class("timeline-item highlighted")
    expect(page.locator("#event-evt_2")).to_be_in_viewport()


def test_started_investigation_is_shown(new_app: Any) -> None:
    answers = {
        "GET /api/v1/agents/investigations/pkg_1": {"items": []},
        "POST /api/v1/agents/predict/pkg_1": investigation("prediction", findings=[], figures={}),
    }
    page = new_app("/packages/pkg_1", answers).page
    expect(page.get_by_text("Not investigated yet.")).to_be_visible()
    page.get_by_role("button", name="Predict arrival").click()
    expect(page.locator(".investigation")).to_contain_text("Most time was lost")


def test_routes_are_compared_in_a_table(new_app: Any) -> None:
    route = {
        "places": ["code:DEFRA", "code:USORD", "code:USPDX"],
        "p10": "2026-11-29T08:00:00Z",
        "p50": "2026-11-30T08:00:00Z",
        "p90": "2026-12-01T08:00:00Z",
        "hours": {"p50": 40.0, "p90": 64.0},
        "on_time_probability": 0.91,
        "samples": 64,
        "legs": [],
    }
    found = investigation("route", findings=[], figures={"routes": [route]})
    page = new_app("/packages/pkg_1", {"POST /api/v1/agents/optimize/route/pkg_1": found}).page
    page.get_by_role("button", name="Compare routes").click()
    row = page.get_by_role("group", name="Routes").get_by_role("row").last
    expect(row).to_contain_text("DEFRA → USORD → USPDX")
    expect(row).to_contain_text("91%")


def test_investigations_are_requested_in_the_language_of_the_console(new_app: Any) -> None:
    predicted = investigation("prediction", findings=[], figures={})
    path = "/api/v1/agents/predict/pkg_1"
    app = new_app("/packages/pkg_1", {f"POST {path}": predicted}, locale="de")
    page = app.page
    with page.expect_request(f"**{path}") as started:
        page.get_by_role("button", name="Ankunft vorhersagen").click()
    with page.expect_request("**/agents/investigations/pkg_1") as listed:
        page.reload()
    assert started.value.headers["accept-language"] == "de"
    assert listed.value.headers["accept-language"] == "de"


def test_investigation_stays_when_an_earlier_list_arrives_later(new_app: Any) -> None:
    answers = {
        "GET /api/v1/agents/investigations/pkg_1": {"items": []},
        "POST /api/v1/agents/predict/pkg_1": investigation("prediction", figures={}),
    }
    app = new_app("/packages/pkg_1", answers)
    page = app.page
    page.get_by_role("button", name="Predict arrival").click()
    expect(page.locator(".investigation")).to_have_count(1)
    app.answers["GET /packages/pkg_1"] = package(status="exception")
    send(app, "packages:pkg_1", "status-changed")
    expect(page.locator(".details-header")).to_contain_text("Exception")
    expect(page.locator(".investigation")).to_have_count(1)


def test_investigation_that_takes_longer_is_awaited(new_app: Any) -> None:
    queued = investigation("delay", state="queued", findings=[], figures={}, text=[])
    answers = {
        "GET /api/v1/agents/investigations/pkg_1": {"items": []},
        "POST /api/v1/agents/investigate/delay/pkg_1": queued | {"_status": 202},
    }
    app = new_app("/packages/pkg_1", answers)
    page = app.page
    expect(page.get_by_text("Not investigated yet.")).to_be_visible()
    app.answers["GET /api/v1/agents/investigations/pkg_1"] = {"items": [investigation("delay")]}
    page.get_by_role("button", name="Investigate delay").click()
    expect(page.locator(".investigation")).to_contain_text("Most time was lost")


def test_investigations_are_not_awaited_after_their_screen_is_left(new_app: Any) -> None:
    queued = investigation("delay", state="queued", findings=[], figures={}, text=[])
    path = "/api/v1/agents/investigations/pkg_1"
    answers = {
        f"GET {path}": {"items": [queued]},
        "POST /api/v1/agents/investigate/delay/*": queued | {"_status": 202},
    }
    app = new_app("/packages/pkg_1", answers)
    page = app.page
    page.clock.install()
    name = re.compile("Investigate delay")
    with page.expect_response("**/investigate/delay/pkg_1"):
        page.get_by_role("button", name=name).click()
    app.go_to("/packages")
    page.get_by_label("Select 1Z").first.check()
    with page.expect_response("**/investigate/delay/pkg_1"):
        page.get_by_role("button", name=name).click()
    app.go_to("/packages/map")
    expect(page.locator(".world-map")).to_be_visible()
    app.calls.clear()
    page.clock.run_for(30_000)
    app.go_to("/packages")
    expect(page.get_by_label("Select 1Z").first).to_be_visible()
    assert app.list_calls(f"GET {path}") == []


def test_details_follow_the_topic_of_the_package(new_app: Any) -> None:
    app = new_app("/packages/pkg_1")
    page = app.page
    expect(page.locator(".timeline-item")).to_have_count(4)
    app.answers["GET /packages/pkg_1/events"] = list_page([*EVENTS, event(5, "delivered")])
    send(app, "packages:pkg_1", "event-recorded", code="delivered")
    expect(page.locator(".timeline-item")).to_have_count(5)
    send(app, "packages:pkg_1", "deleted")
    expect(page).to_have_url("http://localhost/console/packages")


def test_question_about_the_package_is_a_draft_of_a_new_conversation(new_app: Any) -> None:
    page = new_app("/packages/pkg_1").page
    page.get_by_role("button", name="Ask the agent").click()
    composer = page.get_by_role("textbox", name="Question")
    expect(composer).to_have_value(f"Why is package {NUMBER} late?")


def import_file(page: Page, name: str, content: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files([{"name": name, "mimeType": "", "buffer": content}])


def test_import_sends_parts_and_shows_errors_with_their_lines(new_app: Any) -> None:
    bodies: list[str] = []

    def import_part(_: Any, body: str) -> dict[str, Any]:
        bodies.append(body)
        rows = len(body.splitlines()) - 1
        error = {"line": 3, "code": "validation_failed", "detail": "Bad.", "pointer": "#/carrier"}
        counts = {"lines": rows, "created": rows - 1, "existing": 0, "events": 0, "failed": 1}
        return counts | {"errors": [error]}

    page = new_app("/packages/import", {"POST /packages/import": import_part}).page
    rows = "".join(f"LOCAL{number:05},local\n" for number in range(2500))
    import_file(page, "packages.csv", f"tracking_number,carrier\n{rows}".encode())
    result = page.get_by_role("region", name="Result of the import")
    expect(result).to_contain_text("2,500")
    assert [body.splitlines()[0] for body in bodies] == ["tracking_number,carrier"] * 3
    cells = result.get_by_role("row").filter(has_text="carrier").locator("td:first-child")
    assert cells.all_inner_texts() == ["3", "1,003", "2,003"]
    expect(result).to_contain_text("LOCAL02001,local")


def test_dropped_file_is_imported_and_not_added_as_a_document(new_app: Any) -> None:
    counts = {"lines": 1, "created": 1, "existing": 0, "events": 0, "failed": 0, "errors": []}
    app = new_app("/packages/import", {"POST /packages/import": counts})
    app.page.evaluate(
        "() => { const data = new DataTransfer();"
        " data.items.add(new File(['tracking_number\\nLOCAL00001\\n'], 'a.csv'));"
        " for (const type of ['dragenter', 'drop']) document.querySelector('h1').dispatchEvent("
        "  new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true })); }"
    )
    expect(app.page.locator(".import-result")).to_contain_text("All lines were imported.")
    expect(app.page.locator(".drop-area")).to_be_hidden()
    assert app.list_calls("POST /rag/documents") == []


def test_import_keeps_cells_with_line_ends_together(new_app: Any) -> None:
    app = new_app("/packages/import")
    parts = app.run(
        'const { splitLines } = await load("lib/line_parts.js");'
        "return splitLines(argument, 2, { isCsv: true });",
        'a,b\n1,"x\n""y"\n2,z\n3,w\n',
    )
    assert [(part["text"], part["offset"]) for part in parts] == [
        ('a,b\n1,"x\n""y"\n2,z\n', 0),
        ("a,b\n3,w\n", 3),
    ]


def test_import_rejects_files_that_are_no_text(new_app: Any) -> None:
    app = new_app("/packages/import")
    import_file(app.page, "packages.csv", b"tracking_number\nM\xfcller\n")
    expect(app.page.locator("#main").get_by_role("alert")).to_contain_text("not UTF-8")
    import_file(app.page, "packages.pdf", b"%PDF")
    expect(app.page.locator("#main").get_by_role("alert")).to_contain_text(
        "neither CSV nor JSON lines"
    )
    assert app.list_calls("POST /packages/import") == []


def test_map_has_points_legend_and_a_table(new_app: Any) -> None:
    page = new_app("/packages/map").page
    expect(page.locator(".map-point")).to_have_count(3)
    expect(page.locator(".map-legend")).to_contain_text("moving3")
    page.get_by_text("Positions as a table").click()
    expect(page.get_by_role("row").filter(has_text="Sydney")).to_have_count(1)


def test_point_of_the_map_shows_its_packages_with_their_routes(new_app: Any) -> None:
    page = new_app("/packages/map").page
    expect(page.locator(".map-route")).to_have_count(10)
    page.locator(".map-point.bad").click()
    selection = page.get_by_role("list", name="Selected packages")
    expect(selection.get_by_role("link")).to_have_text("1Z5R89390357560005")
    expect(page.locator(".map-route")).to_have_count(2)


def test_map_moves_points_with_the_events_of_its_topic(new_app: Any) -> None:
    app = new_app("/packages/map", {"GET /packages/positions": _positions(position(1))})
    page = app.page
    wait_until_live(page)
    before = page.locator(".map-point circle").get_attribute("cx")
    place = {"name": "Tokyo", "lat": 35.7, "lon": 139.7}
    app.answers["GET /packages/positions"] = _positions(
        position(1, place=place, lat=35.7, lon=139.7)
    )
    moved = {"code": "arrived", "occurred_at": "2026-11-20T08:00:00Z", "location": place}
    send(app, "map", "event-recorded", **moved)
    expect(page.locator(".map-point circle")).not_to_have_attribute("cx", before or "")
    send(app, "map", "deleted")
    expect(page.locator(".map-point")).to_have_count(0)


def _positions(*items: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(items), "without_position": 0, "complete": True}


def test_map_is_moved_with_the_keyboard(new_app: Any) -> None:
    page = new_app("/packages/map").page
    page.get_by_role("group", name="Move with the arrow keys").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".world-map")).to_have_attribute("viewBox", "108 72 360 144")
    page.keyboard.press("0")
    expect(page.locator(".world-map")).to_have_attribute("viewBox", "0 0 720 288")


def test_great_circle_passes_north_of_both_ends(new_app: Any) -> None:
    app = new_app("/packages/import")
    points = app.run(
        'const { greatCircle } = await load("lib/geo.js");'
        "return greatCircle({ lat: 50.1, lon: 8.7 }, { lat: 45.5, lon: -122.7 });"
    )
    assert points[0] == pytest.approx([8.7, 50.1])
    assert points[-1] == pytest.approx([-122.7, 45.5])
    assert max(lat for _, lat in points) > 65


def test_dashboard_shows_figures_and_problems(new_app: Any) -> None:
    app = new_app("/packages/dashboard")
    page = app.page
    totals = page.locator(".totals")
    for text in ("420", "46", "11%", "91%", "9.4 hr", "20"):
        expect(totals).to_contain_text(text)
    expect(page.locator("#main")).to_contain_text("81% arrived between P10 and P90")
    row = page.get_by_role("group", name="By carrier").get_by_role("row")
    expect(row.filter(has_text="Deutsche Post")).to_contain_text("30%")
    link = page.get_by_role("link", name="DEFRA → USPDX")
    expect(link).to_have_attribute("href", re.compile("origin=code%3ADEFRA"))


def test_dashboard_is_loaded_again_with_events_of_its_topic(new_app: Any) -> None:
    app = new_app("/packages/dashboard")
    wait_until_live(app.page)
    app.answers["GET /packages/stats"] = STATS | {"total": 421}
    send(app, "dashboard", "created")
    expect(app.page.locator(".totals")).to_contain_text("421")


def test_failed_request_can_be_repeated(new_app: Any) -> None:
    app = new_app("/packages", {"GET /packages": Failure(503, "unavailable", "packages is down.")})
    alert = app.page.get_by_role("alert").filter(has_text="packages is down.")
    expect(alert).to_be_visible()
    app.answers["GET /packages"] = list_page([package()])
    alert.get_by_role("button", name="Try again").click()
    expect(app.page.get_by_text(NUMBER)).to_be_visible()


def test_palette_finds_packages_by_their_number(new_app: Any) -> None:
    app = new_app("/documents")
    page = app.page
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("combobox").fill("1Z5R")
    page.get_by_role("option", name=f"{NUMBER} · order-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NUMBER)
    assert {"limit": "5", "q": "1Z5R"} in [query for query, _ in app.list_calls("GET /packages")]
