"""Screens of webhook accounts and tours, with a stand-in for the API."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.services.console.browser.package_examples import ANSWERS, package
from tests.services.console.browser.static_pages import AppPage, list_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ACCOUNT = {
    "id": "wha_1",
    "source": "standard",
    "name": "Shop",
    "path": "/packages/webhooks/standard/wha_1",
    "created_by": "usr_1",
    "created_at": "2026-11-20T08:00:00Z",
}
DELIVERY = {
    "id": "whd_1",
    "state": "failed",
    "attempts": 1,
    "repeats": 2,
    "result": None,
    "error": "The number has several carriers.",
    "received_at": "2026-11-21T08:00:00Z",
    "processed_at": "2026-11-21T08:00:01Z",
}
PATH = "/packages/webhook-accounts"
TOUR = {
    "id": "tour_1",
    "state": "done",
    "depot": {"lat": 50.1, "lon": 8.7},
    "progress": None,
    "tours": [
        {
            "vehicle": "Vehicle",
            "stops": [
                {
                    "package_id": f"pkg_{number}",
                    "lat": 50 + number / 10,
                    "lon": 8.5,
                    "distance_m": 12_300,
                    "arrives_after_s": 900 * number,
                }
                for number in (2, 1)
            ],
            "distance_m": 40_000,
            "duration_s": 5400,
            "weight_g": 3000,
        }
    ],
    "unassigned": [],
    "distance_m": 40_000,
    "error": None,
    "requested_by": "usr_1",
    "created_at": "2026-11-21T08:00:00Z",
    "completed_at": "2026-11-21T08:00:30Z",
}


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(service_workers="block", reduced_motion="reduce")
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


def choose(page: Page, action: str) -> None:
    page.get_by_role("button", name="Actions for Shop").click()
    page.get_by_role("menuitem", name=action).click()


def test_generated_secret_of_a_new_account_is_shown_once(new_app: Any) -> None:
    app = new_app("/packages/webhooks", {f"GET {PATH}": list_page([]), f"POST {PATH}": ACCOUNT})
    page = app.page
    expect(page.get_by_text("No account yet")).to_be_visible()
    page.get_by_role("button", name="Add account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Shop")
    dialog.get_by_label("Provider").select_option("standard")
    app.answers[f"GET {PATH}"] = list_page([ACCOUNT])
    dialog.get_by_role("button", name="Add account").click()
    secret = page.locator(".secret")
    expect(secret).to_have_text(app.list_calls(f"POST {PATH}")[0][1]["secret"])
    assert (secret.text_content() or "").startswith("whsec_")
    page.get_by_role("dialog").get_by_role("button").last.click()
    expect(page.get_by_text("/packages/webhooks/standard/wha_1")).to_be_visible()
    expect(secret).to_have_count(0)


def test_secret_is_replaced_and_the_account_deleted(new_app: Any) -> None:
    app = new_app(
        "/packages/webhooks",
        {
            f"GET {PATH}": list_page([ACCOUNT]),
            f"PATCH {PATH}/wha_1": ACCOUNT,
            f"DELETE {PATH}/wha_1": None,
        },
        locale="de",
    )
    page = app.page
    page.get_by_role("button", name="Aktionen für Shop").click()
    page.get_by_role("menuitem", name="Geheimnis ersetzen").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Geheimnis").fill("whsec_of the provider")
    dialog.get_by_role("button", name="Geheimnis ersetzen").click()
    expect(page.get_by_text("Das Geheimnis ist gespeichert.")).to_be_visible()
    assert app.list_calls(f"PATCH {PATH}/wha_1")[0][1] == {"secret": "whsec_of the provider"}
    page.get_by_role("button", name="Aktionen für Shop").click()
    page.get_by_role("menuitem", name="Löschen").click()
    app.answers[f"GET {PATH}"] = list_page([])
    page.get_by_role("dialog").get_by_role("button", name="Löschen").click()
    expect(page.get_by_text("Noch kein Konto")).to_be_visible()


def test_failed_webhook_is_shown_with_its_reason_and_processed_again(new_app: Any) -> None:
    done = DELIVERY | {
        "state": "done",
        "error": None,
        "result": {"package_id": "pkg_1", "added": 2, "duplicates": 1, "skipped": []},
    }
    deliveries = f"{PATH}/wha_1/deliveries"
    app = new_app(
        "/packages/webhooks",
        {
            f"GET {PATH}": list_page([ACCOUNT]),
            f"GET {deliveries}": list_page([DELIVERY]),
            f"POST {deliveries}/whd_1/replay": done,
        },
    )
    page = app.page
    choose(page, "Show webhooks")
    expect(page.get_by_text("The number has several carriers.")).to_be_visible()
    app.answers[f"GET {deliveries}"] = list_page([done])
    page.get_by_role("button", name="Process again").click()
    expect(page.get_by_text("2 new, 1 known, 0 skipped events")).to_be_visible()


RUNNING_TOUR = TOUR | {
    "state": "running",
    "tours": None,
    "unassigned": None,
    "distance_m": None,
    "progress": {"elapsed_s": 3.5, "seconds": 30, "distance_m": 41_000},
}
TOUR_PATH = "/api/v1/agents/tours/tour_1"


def test_tours_of_selected_packages_are_searched_and_shown_in_order(new_app: Any) -> None:
    app = new_app(
        "/packages",
        {
            "POST /api/v1/agents/optimize/tour": RUNNING_TOUR,
            f"GET {TOUR_PATH}": RUNNING_TOUR,
            "GET /packages/pkg_2": package(2),
        },
    )
    page = app.page
    for box in page.get_by_label("Select 1Z").all()[:2]:
        box.check()
    page.get_by_role("button", name="Plan tours").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Depot").fill("Frankfurt")
    dialog.get_by_role("button", name="Start search").click()
    expect(dialog.get_by_text("Enter latitude and longitude")).to_be_visible()
    dialog.get_by_label("Depot").fill("50.1, 8.7")
    dialog.get_by_label("Capacity").fill("80")
    dialog.get_by_role("button", name="Start search").click()
    expect(page.get_by_text("Best so far: 41 km")).to_be_visible()
    _, request = app.list_calls("POST /api/v1/agents/optimize/tour")[0]
    assert request["depot"] == {"lat": 50.1, "lon": 8.7}
    assert request["vehicles"] == [{"name": "Vehicle", "count": 1, "capacity_g": 80_000}]
    assert len(request["package_ids"]) == 2
    app.answers[f"GET {TOUR_PATH}"] = TOUR
    page.get_by_text("Vehicle 1").click()
    links = page.locator(".tour-stops a")
    expect(links).to_have_count(2)
    expect(links.first).to_have_attribute("href", "/console/packages/pkg_2")
    expect(links.first).to_contain_text("1Z5R8939035756")
    expect(page.locator(".tour-plan .tour-number")).to_have_text(["1", "2"])


def test_tour_is_not_read_after_its_screen_is_left(new_app: Any) -> None:
    app = new_app("/packages", {f"GET {TOUR_PATH}": RUNNING_TOUR})
    page: Page = app.page
    waiting: list[Route] = []
    page.clock.install()
    page.route(f"**{TOUR_PATH}", lambda route: waiting.append(route))
    with page.expect_request(f"**{TOUR_PATH}"):
        app.go_to("/packages/tours/tour_1")
    app.go_to("/packages/map")
    expect(page.locator(".world-map")).to_be_visible()
    with page.expect_response(f"**{TOUR_PATH}"):
        waiting.pop().fulfill(json=RUNNING_TOUR)
    page.clock.run_for(5000)
    app.go_to("/packages")
    expect(page.get_by_label("Select 1Z").first).to_be_visible()
    assert waiting == []


def test_packages_of_a_tour_are_not_read_after_its_screen_is_left(new_app: Any) -> None:
    app = new_app("/packages", {f"GET {TOUR_PATH}": TOUR})
    page: Page = app.page
    waiting: list[Route] = []
    page.route("**/packages/pkg_*", lambda route: waiting.append(route))
    app.go_to("/packages/tours/tour_1")
    with page.expect_request("**/packages/pkg_2"):
        page.get_by_text("Vehicle 1").click()
    app.go_to("/packages/map")
    expect(page.locator(".world-map")).to_be_visible()
    with page.expect_response("**/packages/pkg_2"):
        waiting.pop().fulfill(json=package(2))
    app.go_to("/packages")
    expect(page.get_by_label("Select 1Z").first).to_be_visible()
    assert waiting == []
