"""The screen of drift: figures, learning of the usual values, charts, findings, failures."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.services.console.browser.console_page import ConsolePage
from tests.services.console.browser.drift_examples import DRIFT, LEARNING, series
from tests.services.console.browser.static_pages import BASE, AppPage, Failure

pytestmark = [pytest.mark.browser, pytest.mark.slow]


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


def read_row(page: Page, name: str) -> list[str]:
    """Return the cells of a figure, with their lines joined."""
    table = page.get_by_role("group", name="Figures of answers")
    cells = table.get_by_role("row", name=name).get_by_role("cell").all_inner_texts()
    return [" ".join(cell.split()) for cell in cells]


def test_deviating_figure_is_shown_with_its_usual_value_and_duration(
    context: BrowserContext,
) -> None:
    app = AppPage(context, {"GET /admin/drift": DRIFT})
    page = app.open("/admin/drift")
    expect(page.locator("#main p[role=status]")).to_have_text(
        "1 figure deviates from its usual value."
    )
    _, observed, usual, difference, since, severity, last = read_row(page, "Duration of answers")
    assert usual == "1.9 s"
    assert float(observed.split()[0]) > 4
    assert difference == "+266% +12.5 \u03c3"
    assert since == "Nov 29, 2026, 7:00 AM"
    assert severity == "strong drift"
    assert last.endswith("214 requests")
    assert read_row(page, "Failed runs")[-2] == "as usual"
    assert (
        read_row(page, "Thumbs down")[-2] == "no data yet 12 more hours with requests are needed."
    )
    findings = page.get_by_role("group", name="Findings")
    expect(findings.get_by_role("row", name="Duration of answers")).to_contain_text("jump")
    assert app.findings == []


def test_chart_shows_observed_and_usual_values_with_gaps(context: BrowserContext) -> None:
    quiet = series("latency", "seconds", 2.0)
    quiet["hours"] = [hour for number, hour in enumerate(quiet["hours"]) if number != 40]
    share = series("error_rate", "share", 0.012)
    app = AppPage(context, {"GET /admin/drift": {"series": [quiet, share], "findings": []}})
    page = app.open("/admin/drift")
    chart = page.locator("figure.chart", has_text="Duration of answers")
    assert chart.locator(".chart-legend li").all_inner_texts() == ["Observed", "Usual"]
    rows = chart.locator("tbody tr")
    assert rows.count() == 48
    assert rows.nth(40).locator("td").all_text_contents() == ["\u2013", "\u2013"]
    assert rows.nth(47).locator("td").last.text_content() == "1.9\u00a0s"
    assert rows.nth(47).locator("th").text_content() == "10:00 AM"
    # One piece before and one after the gap.
    assert (chart.locator("path.series-1").get_attribute("d") or "").count("M") == 2
    expect(page.get_by_text("No findings in the last 90 days.")).to_be_visible()
    scale = page.locator("figure.chart", has_text="Failed runs").locator(".chart-scale")
    assert scale.last.text_content() == "2"
    assert app.findings == []


def test_hours_that_the_baseline_lacks_are_shown_while_it_is_learned(
    context: BrowserContext,
) -> None:
    app = AppPage(context, {"GET /admin/drift": LEARNING})
    page = app.open("/admin/drift")
    empty = page.locator("#main .empty")
    expect(empty).to_have_text(
        "The usual values are being learned. 7 more hours with requests are needed."
    )
    assert read_row(page, "Duration of answers")[2:6] == [
        "\u2013",
        "\u2013",
        "\u2013",
        "learning 7 more hours with requests are needed.",
    ]
    app.answers["GET /admin/drift"] = {
        "series": [series("latency", "seconds", None)],
        "findings": [],
    }
    page.reload()
    expect(empty).to_contain_text("12 more hours with requests are needed.")
    expect(page.locator("table")).to_have_count(0)


def test_figures_are_refreshed_and_an_outage_keeps_them(context: BrowserContext) -> None:
    app = AppPage(context, {"GET /admin/drift": LEARNING})
    app.page.clock.install()
    page = app.open("/admin/drift")
    expect(page.locator("#main .empty")).to_contain_text("are being learned")
    app.answers["GET /admin/drift"] = DRIFT
    page.clock.run_for(60_000)
    expect(page.locator("#main p[role=status]")).to_contain_text("1 figure deviates")
    app.answers["GET /admin/drift"] = Failure(503, "drift_unavailable", "The agent is down.")
    page.clock.run_for(60_000)
    expect(page.locator("#main [role=alert]")).to_contain_text("The agent is down.")
    assert read_row(page, "Duration of answers")[-2] == "strong drift"


def test_screen_needs_system_read(context: BrowserContext) -> None:
    app = AppPage(context, {"GET /admin/drift": DRIFT}, role="tenant_admin")
    page = app.open("/admin/drift")
    expect(page.locator("#main")).to_contain_text("system:read")
    assert app.list_calls("GET /admin/drift") == []


def test_german_screen_is_complete_and_accessible(context: BrowserContext) -> None:
    app = AppPage(context, {"GET /admin/drift": DRIFT}, locale="de")
    page = app.open("/admin/drift")
    expect(page.get_by_role("heading", level=1)).to_have_text("Abweichungen")
    expect(page.locator("#main p[role=status]")).to_have_text("1 Wert weicht vom Üblichen ab.")
    row = page.get_by_role("row", name="Dauer der Antworten").first
    expect(row).to_contain_text("starke Abweichung")
    expect(row).to_contain_text("+266")
    screen: Any = object.__new__(ConsolePage)
    screen.page, screen.url = page, BASE
    assert screen.find_accessibility_violations() == []
    assert app.findings == []
