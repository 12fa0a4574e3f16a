"""The screens of documents, collections and the search test."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.services.console.browser.static_pages import AppPage, Failure, list_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def document(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"doc_{number}",
        "filename": f"report-{number}.pdf",
        "title": f"Report {number}",
        "collection": "default",
        "content_type": "application/pdf",
        "size_bytes": 1000 * (number + 1),
        "sha256": "0" * 64,
        "pages": 3,
        "chunks": 5,
        "status": "ready",
        "progress": {"stage": "done", "done": 1, "total": 1},
        "error": None,
        "owner_id": "user-1",
        "created_at": "2026-11-20T08:00:00Z",
        "metadata": {},
        "replaces": [],
        "attachment_of": None,
        "attachments": [],
        "warnings": [],
    } | changes


def collection(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"col_{name}",
        "name": name,
        "description": "",
        "owner_id": "user-1",
        "tenant_access": "none",
        "access": "write",
        "grants": {},
        "created_at": "2026-11-01T08:00:00Z",
    } | changes


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, service_workers="block")
    yield context
    context.close()


def create_app(context: BrowserContext, answers: dict[str, Any], role: str = "user") -> AppPage:
    return AppPage(context, answers, role=role)


def test_ten_thousand_documents_have_at_most_sixty_row_elements(context: BrowserContext) -> None:
    total = 10_000

    def list_documents(query: dict[str, str], body: object) -> dict[str, Any]:
        del body
        start, limit = int(query.get("cursor", 0)), int(query["limit"])
        end = min(total, start + limit)
        cursor = str(end) if end < total else None
        return {"items": [document(n) for n in range(start, end)], "next_cursor": cursor}

    app = create_app(context, {"GET /rag/documents": list_documents})
    page = app.open("/documents")
    expect(page.get_by_role("link", name="Report 0", exact=True)).to_be_visible()
    most = page.evaluate(
        """async () => {
          const main = document.getElementById("main");
          let most = 0;
          for (let step = 0; step < 400; step++) {
            main.scrollTop = main.scrollHeight;
            await new Promise(requestAnimationFrame);
            most = Math.max(most, document.querySelectorAll(".virtual-rows > *").length);
            if (document.querySelector(".table-count").textContent === "10,000 documents") break;
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
          main.scrollTop = main.scrollHeight;
          await new Promise(requestAnimationFrame);
          return most;
        }"""
    )
    assert most <= 60
    expect(page.get_by_role("link", name="Report 9999")).to_be_visible()
    assert app.findings == []


def test_hostile_file_name_is_shown_as_text(context: BrowserContext) -> None:
    name = "<img src=x onerror=alert(1)>.pdf"
    item = document(1, title=name, filename=name, metadata={"path": "<b>folder</b>"})
    app = create_app(context, {"GET /rag/documents": list_page([item])})
    page = app.open("/documents")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    assert page.locator("#main img, #main b").count() == 0
    assert app.findings == []


def test_failed_document_names_the_reason(context: BrowserContext) -> None:
    error = {"code": "unreadable_document", "detail": "The file is damaged."}
    item = document(1, status="failed", error=error)
    answers = {"GET /rag/documents": list_page([item]), "GET /rag/documents/doc_1": item}
    page = create_app(context, answers).open("/documents/doc_1")
    expect(page.get_by_role("alert").filter(has_text="damaged")).to_be_visible()


def test_viewer_sees_neither_upload_nor_selection(context: BrowserContext) -> None:
    answers = {"GET /rag/documents": list_page([document(1)])}
    page = create_app(context, answers, role="viewer").open("/documents")
    expect(page.get_by_role("link", name="Report 1")).to_be_visible()
    assert page.get_by_role("button", name="Add documents").count() == 0
    assert page.get_by_role("checkbox").count() == 0
    page.get_by_role("button", name="Actions for Report 1").click()
    assert page.get_by_role("menuitem").all_text_contents() == [
        "Details and chunks",
        "Download original",
    ]
    assert page.get_by_role("link", name="Administration").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_filters_are_not_covered_by_the_table(context: BrowserContext, width: int) -> None:
    answers = {"GET /rag/documents": list_page([document(n) for n in range(30)])}
    app = create_app(context, answers)
    app.page.set_viewport_size({"width": width, "height": 800})
    page = app.open("/documents")
    expect(page.get_by_role("link", name="Report 1", exact=True)).to_be_visible()
    for field in page.get_by_role("search", name="Filter").locator("input, select").all():
        assert field.evaluate(
            """element => {
              const { x, y, width, height } = element.getBoundingClientRect();
              return element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
            }"""
        )


def test_filters_are_in_the_address_and_in_the_request(context: BrowserContext) -> None:
    answers = {
        "GET /rag/documents": list_page([document(1)]),
        "GET /rag/collections": list_page([collection("reports")]),
    }
    app = create_app(context, answers)
    page = app.open("/documents")
    page.get_by_label("State").select_option("failed")
    page.get_by_label("Collection").select_option("reports")
    expect(page).to_have_url("http://localhost/console/documents?status=failed&collection=reports")
    query, _ = app.list_calls("GET /rag/documents")[-1]
    assert query["status"] == "failed"
    assert query["collection"] == "reports"


def test_shift_click_selects_a_range_and_deletes_it_after_confirmation(
    context: BrowserContext,
) -> None:
    locked = Failure(403, "read_only", "The collection is read-only.")
    answers = {
        "GET /rag/documents": list_page([document(number) for number in range(6)]),
        "DELETE /rag/documents/doc_2": locked,
        "DELETE /rag/documents/*": None,
    }
    app = create_app(context, answers)
    page = app.open("/documents")
    page.get_by_label("Select Report 1", exact=True).click()
    page.get_by_label("Select Report 4", exact=True).click(modifiers=["Shift"])
    bar = page.get_by_role("region", name="Selected documents")
    expect(bar.get_by_role("status")).to_have_text("4 selected")
    bar.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete 4 documents?")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("3 documents deleted.")).to_be_visible()
    expect(page.get_by_text("The collection is read-only.")).to_be_visible()
    rows = page.locator(".virtual-rows .cell-title > a")
    assert rows.all_text_contents() == ["Report 0", "Report 2", "Report 5"]


def test_folder_upload_sends_the_path_and_summarizes_the_results(context: BrowserContext) -> None:
    too_large = Failure(413, "too_large", "The upload is too large.")
    added = {"documents": [document(1)], "_status": 202}
    existing = {"documents": [document(2)]}
    results = iter([added, too_large, existing])
    app = create_app(context, {"POST /rag/documents": lambda *_: next(results)})
    page = app.open("/documents")
    app.run(
        """
        const { addFiles } = await load("model/uploads.js");
        const createFile = (name) => new File([name], `${name}.txt`);
        const files = ["a", "b", "c"].map(createFile);
        addFiles(files.map((file) => ({ file, path: "plans/2026" })));
        """
    )
    summary = page.locator(".upload-summary").get_by_role("status")
    expect(summary).to_have_text("1 ready, 1 duplicate, 1 failed")
    expect(page.get_by_text("The file is too large.")).to_be_visible()
    bodies = [body for _, body in app.list_calls("POST /rag/documents")]
    assert all('{"path":"plans/2026"}' in body for body in bodies)


def test_two_hundred_files_are_sent_three_at_a_time_and_fail_one_by_one(
    context: BrowserContext,
) -> None:
    documents: dict[str, dict[str, Any]] = {}
    limited = iter(range(3))

    def receive(_query: object, body: str) -> dict[str, Any]:
        number = int(body.split('filename="file-')[1].split(".")[0])
        if number == 17:
            raise Failure(415, "unsupported_document", "Not supported.")
        if number == 60:
            return {"documents": [document(number)]}
        if number == 100 and next(limited, None) is not None:
            raise Failure(429, "rate_limited", "Too many requests.", retry_after=1)
        progress = {"stage": "extracting", "done": 0, "total": 1}
        queued = document(number, status="processing", progress=progress)
        documents[queued["id"]] = queued
        # Few documents are read one by one.
        app.answers[f"GET /rag/documents/{queued['id']}"] = lambda *_: (
            process() and documents[queued["id"]]
        )
        return {"documents": [queued], "_status": 202}

    def process(*_: object) -> dict[str, Any]:
        broken = {"code": "unreadable_document", "detail": "Damaged."}
        for number, item in enumerate(list(documents.values())):
            documents[item["id"]] = item | {"status": "failed" if number == 49 else "ready"}
            documents[item["id"]]["error"] = broken if number == 49 else None
        return list_page(list(reversed(documents.values()))[:200])

    app = create_app(context, {"POST /rag/documents": receive})
    page = app.open("/documents")
    app.answers["GET /rag/documents"] = process
    largest = app.run(
        """
        const send = XMLHttpRequest.prototype.send;
        const counts = { now: 0, most: 0 };
        XMLHttpRequest.prototype.send = function (...parts) {
          counts.most = Math.max(counts.most, ++counts.now);
          this.addEventListener("readystatechange", () => this.readyState === 4 && counts.now--);
          return send.apply(this, parts);
        };
        const { addFiles, uploads } = await load("model/uploads.js");
        const createFile = (_, index) => new File([`text ${index}`], `file-${index}.txt`);
        const files = Array.from({ length: 200 }, createFile);
        addFiles(files.map((file) => ({ file })));
        const isOver = ({ stage }) => !["waiting", "sending"].includes(stage.value);
        const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
        while (!uploads.value.every(isOver)) await wait(20);
        return counts.most;
        """
    )
    assert largest == 3
    status = page.locator(".upload-summary").get_by_role("status")
    expect(status).to_have_text("197 ready, 1 duplicate, 2 failed", timeout=20_000)
    # The summary shows few rows, and the failures first.
    assert page.locator(".upload-row").count() <= 6
    expect(page.locator(".upload-row.failed")).to_have_count(2)
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".upload-row")).to_have_count(200)
    sent = len(app.list_calls("POST /rag/documents"))
    assert sent == 200 + 3
    # Requests for the progress do not grow with the number of files.
    polls = [call for call, _, _ in app.calls if call.startswith("GET /rag/documents")]
    assert len(polls) < 20


def test_interrupted_files_are_sent_again_together(context: BrowserContext) -> None:
    app = create_app(context, {})
    page = app.open("/documents")
    down = Failure(502, "upstream_unavailable", "The service does not respond.")
    unsupported = Failure(415, "unsupported_document", "Not supported.")
    results: list[Any] = [down, unsupported, down]
    results += [{"documents": [document(number)], "_status": 202} for number in (1, 2)]
    app.answers["POST /rag/documents"] = lambda *_: results.pop(0)
    app.run(
        """
        const { addFiles } = await load("model/uploads.js");
        addFiles(["a", "b", "c"].map((name) => ({ file: new File([name], `${name}.txt`) })));
        """
    )
    page.get_by_role("button", name="Send 2 interrupted files again").click()
    summary = page.locator(".upload-summary").get_by_role("status")
    expect(summary).to_have_text("2 ready, 1 failed")
    expect(page.get_by_role("button", name="interrupted")).to_have_count(0)


def test_document_metadata_keeps_the_types_of_values(context: BrowserContext) -> None:
    item = document(1, metadata={"year": 1843, "author": "Ada", "version": "2"})
    app = create_app(
        context, {"GET /rag/documents/doc_1": item, "PATCH /rag/documents/doc_1": item}
    )
    page = app.open("/documents/doc_1")
    page.get_by_role("button", name="Edit metadata").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Field").last.fill("reviewed")
    dialog.get_by_role("textbox", name="Value").last.fill("true")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    _, body = app.list_calls("PATCH /rag/documents/doc_1")[0]
    assert body == {
        "metadata": {"year": 1843, "author": "Ada", "version": "2", "reviewed": True},
    }


def hit(**changes: Any) -> dict[str, Any]:
    return {
        "chunk_id": "chunk-1",
        "document_id": "doc_1",
        "filename": "report-1.pdf",
        "title": "Report 1",
        "section": "",
        "headings": [],
        "table_header": "",
        "page": 2,
        "start": 10,
        "end": 40,
        "text": "😀 Pumps fail. Valves leak often.",
        "score": 0.8,
        "sentences": [
            {"start": 10, "end": 23, "similarity": 0.4},
            {"start": 24, "end": 42, "similarity": 0.7},
        ],
    } | changes


def test_search_test_shows_scores_ranks_and_a_degraded_search(context: BrowserContext) -> None:
    def search(query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        del query
        hits = [hit(), hit(chunk_id="chunk-2", title="Report 2", score=0.4)]
        if body["mode"] == "dense":
            hits.reverse()
        return {
            "results": hits,
            "degraded": ["reranking"] if body["mode"] == "hybrid" else [],
            "term_weights": {"valv": 2.5},
            "took_ms": 12.0,
        }

    app = create_app(context, {"POST /rag/search": search})
    page = app.open("/search")
    page.get_by_label("Enter a question or words").fill("leaking valves")
    page.get_by_role("button", name="Search", exact=True).click()
    first = page.locator(".chunk").first
    expect(first).to_contain_text("Score 0.800")
    expect(first).to_contain_text("Keywords no. 1")
    expect(first).to_contain_text("Vectors no. 2")
    expect(first.locator("mark.term")).to_have_text("Valves")
    expect(page.get_by_text("The reranking model is unavailable.")).to_be_visible()
    expect(page).to_have_url("http://localhost/console/search?q=leaking+valves&mode=hybrid&k=10")


def test_chunks_say_which_sentence_was_found(context: BrowserContext) -> None:
    """Offsets count code points, and an emoji is two UTF-16 units."""
    answer = {
        "results": [hit()],
        "degraded": [],
        "term_weights": {"valv": 2.5},
        "took_ms": 12.0,
    }
    answers = {"GET /rag/documents/doc_1": document(1), "POST /rag/search": answer}
    app = create_app(context, answers)
    page = app.open("/documents/doc_1?q=leaking%20valves")
    best = page.locator(".sentence.level-3")
    expect(best).to_have_text("Valves leak often.0.700")
    _, body = app.list_calls("POST /rag/search")[0]
    assert body["filter"] == {"document_id": "doc_1"}


def test_collection_is_shared_with_a_member_by_name(context: BrowserContext) -> None:
    shared = collection("reports", grants={"user-2": "read"})
    states = [[collection("reports")], [shared]]

    def list_collections(*_: object) -> dict[str, Any]:
        return list_page(states.pop(0) if len(states) > 1 else states[0])

    member = {"user_id": "user-2", "username": "grace", "display_name": "Grace Hopper"}
    app = create_app(
        context,
        {
            "GET /rag/collections": list_collections,
            "GET /auth/tenants/tenant-1/members": list_page([member]),
            "PUT /rag/collections/col_reports/grants/user-2": shared,
        },
        role="tenant_admin",
    )
    page = app.open("/collections")
    page.get_by_role("button", name="Actions for reports").click()
    page.get_by_role("menuitem", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share “reports”")
    dialog.get_by_label("Add person").first.fill("grace")
    dialog.get_by_role("button", name="Add person").click()
    expect(dialog.get_by_role("listitem")).to_contain_text("Grace Hopper")
    _, body = app.list_calls("PUT /rag/collections/col_reports/grants/user-2")[0]
    assert body == {"access": "read"}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_failure_of_the_list_offers_another_try(context: BrowserContext, status: int) -> None:
    results = [Failure(status, "unavailable", "Documents are unavailable.", request_id="req-7")]
    app = create_app(
        context,
        {"GET /rag/documents": lambda *_: results.pop() if results else list_page([document(1)])},
    )
    page = app.open("/documents")
    expect(page.locator(".failure")).to_contain_text("req-7")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("link", name="Report 1")).to_be_visible()
