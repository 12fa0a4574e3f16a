"""Pictures of the screens of packages for docs/console, from the console's files with examples.

    python -m benchmarks.console_package_pictures [FOLDER]

`console_pictures` takes them too. They need no running suite.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.pictures import BROWSER, take_screenshot, write_picture
from tests.services.console.browser.package_examples import (
    ANSWERS,
    PLACES,
    investigation,
    package,
    position,
)
from tests.services.console.browser.static_pages import AppPage, list_page
from tests.suite.conftest import ROOT

_WINDOW = {"width": 1440, "height": 900}
_LISTED = 12
_POSITIONS = 240
_STATUSES = ("in_transit", "in_transit", "out_for_delivery", "exception", "available_for_pickup")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "console"
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for name, picture in take_package_pictures(browser):
            write_picture(picture, folder / f"{name}.png")
        browser.close()


def take_package_pictures(browser: Browser) -> Iterator[tuple[str, bytes]]:
    """Yield name and PNG of each picture."""
    chance = random.Random(4)  # noqa: S311 - the same pictures each time
    listed = list_page([_create_package(number, chance) for number in range(_LISTED)])
    page = _open(browser, "/packages", {"GET /packages": listed})
    page.locator(".package-table .chip").first.wait_for()
    yield "14-packages", take_screenshot(page)

    answers = {"GET /api/v1/agents/investigations/pkg_1": {"items": [investigation()]}}
    page = _open(browser, "/packages/pkg_1", answers)
    page.locator(".arrival").evaluate("section => section.scrollIntoView()")
    yield "15-package", take_screenshot(page)

    positions = [_create_position(number, chance) for number in range(_POSITIONS)]
    answers = {
        "GET /packages/positions": {"items": positions, "without_position": 7, "complete": True}
    }
    page = _open(browser, "/packages/map", answers, color_scheme="dark")
    page.locator(".map-point").first.wait_for()
    yield "16-package-map-dark", take_screenshot(page)

    problems = list_page([package(3, status="exception", sub_status="damaged"), package(5)])
    page = _open(browser, "/packages/dashboard", {"GET /packages": problems})
    page.locator(".totals").wait_for()
    yield "17-package-dashboard", take_screenshot(page)


def _open(browser: Browser, path: str, answers: dict[str, Any], **options: Any) -> Page:
    context = browser.new_context(
        viewport=_WINDOW, service_workers="block", reduced_motion="reduce", **options
    )
    return AppPage(context, ANSWERS | answers, role="user").open(path)


def _create_package(number: int, chance: random.Random) -> dict[str, Any]:
    origin, destination = chance.sample(PLACES, 2)
    changes: dict[str, Any] = {
        "carrier": chance.choice(("ups", "dhl", "fedex")),
        "origin": origin,
        "destination": destination,
        "status": chance.choice(_STATUSES),
    }
    if number % 3 == 0:
        changes |= {"late": False, "promised_at": "2026-12-03T17:00:00Z"}
    if number % 5 == 4:
        changes |= {
            "status": "delivered",
            "delivered_at": "2026-11-27T10:00:00Z",
            "late": False,
            "eta": None,
        }
    return package(number, **changes)


def _create_position(number: int, chance: random.Random) -> dict[str, Any]:
    place = chance.choice(PLACES)
    return position(
        number,
        lat=place["lat"] + chance.gauss(0, 4),
        lon=place["lon"] + chance.gauss(0, 7),
        late=chance.random() < 0.1,
        status="exception" if chance.random() < 0.02 else "in_transit",
    )


if __name__ == "__main__":
    main()
