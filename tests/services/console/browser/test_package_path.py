"""Packages with a running suite: import, live changes, and a question to the agent."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.services.console.browser.console_page import ConsolePage, Person

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]

NUMBER = "LATE00000001"
FILE = f"""tracking_number,carrier,promised_at,event_code,event_occurred_at,event_location_name,\
event_location_lat,event_location_lon
{NUMBER},ups,2026-01-03T12:00:00Z,departed,2026-01-01T12:00:00Z,Frankfurt,50.1,8.7
LATE00000002,,2026-01-03T12:00:00Z,departed,tomorrow,Frankfurt,50.1,8.7
{NUMBER},ups,,arrived,2026-01-05T12:00:00Z,Portland,45.5,-122.7
"""


@pytest.fixture(scope="module")
def sender(suite: Any) -> Person:
    return Person.from_client(suite.register_user("sender"))


def test_imported_package_changes_live_and_the_agent_explains_it(
    new_console: Any, sender: Person
) -> None:
    console: ConsolePage = new_console(sender)
    page = console.page
    assert sender.client is not None
    console.open("/packages/import")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files(
        [{"name": "packages.csv", "mimeType": "text/csv", "buffer": FILE.encode()}]
    )
    errors = page.get_by_role("group", name="Errors by line")
    expect(errors.get_by_role("row").last).to_contain_text("LATE00000002")

    page.get_by_role("link", name="Show the packages").click()
    row = page.get_by_role("row").filter(has_text=NUMBER)
    expect(row).to_contain_text("Late")
    expect(page.locator("#main")).to_contain_text("Changes appear without a reload")
    package = sender.client("GET", f"/packages?tracking_number={NUMBER}").json()["items"][0]
    path = f"/packages/{package['id']}"
    held = {
        "code": "exception",
        "occurred_at": "2026-01-06T12:00:00Z",
        "reason": "damaged",
        "location": {"name": "Portland", "lat": 45.5, "lon": -122.7},
    }
    assert sender.client("POST", f"{path}/events", json={"events": [held]}).status_code == 200
    expect(row).to_contain_text("Exception", timeout=30_000)

    console.open("/packages/map")
    expect(page.locator(".map-point")).to_have_count(1)
    console.open("/")
    answer = console.ask(f"Why is package {NUMBER} late?")
    answer.get_by_role("link", name="exception").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NUMBER)
    expect(page.locator(".timeline-item.highlighted")).to_contain_text("Damaged")
    expect(page.locator(".investigation")).to_contain_text("Delay")
    page.get_by_role("button", name="Find anomalies").click()
    expect(page.locator(".investigation")).to_have_count(2)
