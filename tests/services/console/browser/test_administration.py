"""The administration screens: permissions, filters, exports, secrets, failures."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.services.console.browser.static_pages import AppPage, Failure, list_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROLES = list_page(
    [
        {"name": name, "description": None, "permissions": permissions, "built_in": True}
        for name, permissions in [("viewer", ["rag:read"]), ("admin", ["rag:read", "rag:write"])]
    ]
)


def account(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "username": name,
        "email": None,
        "display_name": None,
        "roles": ["user"],
        "permissions": [],
        "tenant_id": "tenant-1",
        "tenants": [],
        "disabled": False,
        "created_at": "2026-11-01T08:00:00Z",
        "last_login_at": None,
    } | changes


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        service_workers="block",
        timezone_id="Europe/Berlin",
    )
    yield context
    context.close()


_TENANT_TABS = [
    "Users",
    "Invitations",
    "Roles",
    "Tenants",
    "Service accounts",
    "Usage",
    "Chat",
    "Chat history",
    "Audit log",
]


@pytest.mark.parametrize(
    ("role", "tabs"),
    [
        ("tenant_admin", _TENANT_TABS),
        ("admin", ["Overview", *_TENANT_TABS, "Health", "Drift", "Queue", "Models"]),
    ],
)
def test_tabs_are_limited_to_the_permissions(
    context: BrowserContext, role: str, tabs: list[str]
) -> None:
    app = AppPage(context, {"GET /auth/users": list_page([account("grace")])}, role=role)
    page = app.open("/admin/users")
    assert page.locator("nav.tab-links a").all_text_contents() == tabs


def test_deep_link_without_permission_names_the_permission(context: BrowserContext) -> None:
    app = AppPage(context, role="user")
    page = app.open("/admin/audit")
    expect(page.locator("#main")).to_contain_text("audit:read")
    assert app.list_calls("GET /auth/audit") == []


def test_administration_opens_the_first_allowed_screen(context: BrowserContext) -> None:
    app = AppPage(context, {"GET /auth/users": list_page([account("grace")])}, role="tenant_admin")
    page = app.open("/admin")
    expect(page).to_have_url("http://localhost/console/admin/users")


def stats_day(date: str, **changes: Any) -> dict[str, Any]:
    return {
        "date": date,
        "requests": 10,
        "client_errors": 0,
        "limited": 1,
        "errors": 2,
        "documents": 3,
        "messages": 4,
        "tokens": {"prompt": 5, "completion": 6, "total": 11},
    } | changes


def test_overview_shows_a_gap_for_an_unavailable_service(context: BrowserContext) -> None:
    days = [
        stats_day("2026-11-28"),
        stats_day("2026-11-29", messages=None, tokens=None),
    ]
    stats = {
        "unavailable": ["agent"],
        "users": 214,
        "sessions": 87,
        "documents": 3184,
        "chunks": 413_000,
        "tokens": None,
        "requests": 121_507,
        "errors": 240,
        "totals": {"bytes": 9_400_000_000},
        "days": days,
    }
    app = AppPage(context, {"GET /admin/stats": stats})
    page = app.open("/admin")
    totals = page.locator(".totals dd").all_text_contents()
    assert totals == ["214", "87", "3.2K", "413K", "9.4 GB", "\u2013", "121.5K", "240"]
    expect(page.get_by_text("These services did not respond: agent.")).to_be_visible()
    messages = page.locator("figure.chart", has_text="Messages")
    assert messages.locator("td").all_text_contents() == ["4", "\u2013"]
    assert messages.locator("rect.series-1").count() == 1
    page.get_by_role("button", name="7 days").click()
    expect(page).to_have_url("http://localhost/console/admin?days=7")
    assert app.list_calls("GET /admin/stats")[-1][0] == {"days": "7"}


def record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "at": "2026-11-29T10:00:00Z",
        "actor_id": "id-grace",
        "actor": "grace",
        "tenant_id": "tenant-1",
        "action": "document.delete",
        "outcome": "success",
        "target": "doc_1",
        "address": "192.0.2.1",
        "request_id": "req-1",
        "details": {},
        "count": 1,
        "last_at": None,
    } | changes


def test_audit_filters_are_in_the_address_and_sent_in_utc(context: BrowserContext) -> None:
    app = AppPage(context, {"GET /auth/audit": list_page([record(1)])})
    page = app.open("/admin/audit?action=document.delete&since=2026-11-29T10:00")
    expect(page.get_by_label("Action")).to_have_value("document.delete")
    page.get_by_role("button", name="grace").click()
    expect(page.get_by_label("Actor")).to_have_value("grace")
    query, _ = app.list_calls("GET /auth/audit")[-1]
    assert query == {
        "actor": "grace",
        "action": "document.delete",
        "since": "2026-11-29T09:00:00.000Z",
        "limit": "100",
    }


def test_audit_export_contains_all_pages_and_no_formula(context: BrowserContext) -> None:
    def list_records(query: dict[str, str], body: object) -> dict[str, Any]:
        del body
        if "cursor" in query:
            return list_page([record(2, target='=HYPERLINK("https://evil.example")')])
        return {"items": [record(1, target='a "quoted", name')], "next_cursor": "2"}

    page = AppPage(context, {"GET /auth/audit": list_records}).open("/admin/audit")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    text = download.value.path().read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["target"] for row in rows] == [
        'a "quoted", name',
        '\'=HYPERLINK("https://evil.example")',
    ]


def test_new_user_needs_a_recent_proof_and_shows_errors_at_their_field(
    context: BrowserContext,
) -> None:
    results: list[Any] = [
        Failure(403, "reauthentication_required", "Confirm your password."),
        Failure(
            422,
            "weak_password",
            "The password is weak.",
            errors=[{"pointer": "#/password", "detail": "Use a longer password."}],
        ),
        account("alan"),
    ]
    app = AppPage(
        context,
        {
            "GET /auth/users": list_page([account("grace")]),
            "GET /auth/roles": ROLES,
            "POST /auth/users": lambda *_: results.pop(0),
            "POST /auth/reauthenticate": None,
        },
    )
    page = app.open("/admin/users")
    page.get_by_role("button", name="New user").click()
    dialog = page.get_by_role("dialog", name="New user")
    dialog.get_by_label("User name").fill("alan")
    dialog.get_by_label("First password").fill("short")
    dialog.get_by_role("button", name="Create").click()
    proof = page.get_by_role("dialog", name="Confirm that it is you")
    proof.get_by_label("Password").fill("secret")
    proof.get_by_role("button", name="Confirm").click()
    expect(dialog.get_by_text("Use a longer password.")).to_be_visible()
    expect(dialog.get_by_label("First password")).to_have_attribute("aria-invalid", "true")
    with page.expect_request("**/auth/users?*"):  # the list is loaded again
        dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_be_hidden()
    assert app.list_calls("POST /auth/reauthenticate") == [({}, {"password": "secret"})]


def test_deletion_of_the_last_admin_is_explained(context: BrowserContext) -> None:
    app = AppPage(
        context,
        {
            "GET /auth/users": list_page([account("grace")]),
            "DELETE /auth/users/id-grace": Failure(409, "last_admin", "This is the last admin."),
        },
    )
    page = app.open("/admin/users")
    page.get_by_role("button", name="Actions for grace").click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete grace?")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("This is the last admin.")


def test_roles_show_what_each_permission_allows(context: BrowserContext) -> None:
    page = AppPage(context, {"GET /auth/roles": ROLES}).open("/admin/roles")
    row = page.get_by_role("row", name="rag:write")
    expect(row).to_contain_text("Add, change and delete documents and collections")
    assert row.get_by_role("cell").all_inner_texts() == ["\u2013\nnot allowed", "allowed"]


def invitation(email: str, expires_at: str) -> dict[str, Any]:
    return {
        "id": f"id-{email}",
        "tenant_id": "tenant-1",
        "email": email,
        "roles": ["viewer"],
        "invited_by": "user-1",
        "created_at": "2026-11-28T08:00:00Z",
        "expires_at": expires_at,
    }


def test_invitations_are_sent_repeated_and_withdrawn(context: BrowserContext) -> None:
    items = [
        invitation("old@example.org", "2020-01-01T00:00:00Z"),
        invitation("new@example.org", "2999-01-01T00:00:00Z"),
    ]
    app = AppPage(
        context,
        {
            "GET /auth/invitations": lambda query, body: list_page(items),
            "GET /auth/roles": ROLES,
            "POST /auth/invitations": lambda query, body: invitation(
                body["email"], "2999-01-01T00:00:00Z"
            ),
            "DELETE /auth/invitations/id-new@example.org": None,
        },
        role="tenant_admin",
    )
    page = app.open("/admin/invitations")
    expect(page.get_by_role("row", name="old@example.org")).to_contain_text("expired")
    page.get_by_role("button", name="Invite", exact=True).click()
    dialog = page.get_by_role("dialog", name="Invite a person")
    dialog.get_by_label("E-mail").fill("guest@example.org")
    dialog.get_by_label("viewer").check()
    dialog.get_by_role("button", name="Send invitation").click()
    expect(page.get_by_text("The invitation to guest@example.org is on its way.")).to_be_visible()

    page.get_by_role("button", name="Actions for the invitation of old@example.org").click()
    page.get_by_role("menuitem", name="Send again").click()
    expect(page.get_by_text("The invitation to old@example.org is on its way.")).to_be_visible()
    sent = [body for _, body in app.list_calls("POST /auth/invitations")]
    assert sent == [
        {"email": "guest@example.org", "roles": ["viewer"]},
        {"email": "old@example.org", "roles": ["viewer"]},
    ]

    page.get_by_role("button", name="Actions for the invitation of new@example.org").click()
    page.get_by_role("menuitem", name="Withdraw").click()
    dialog = page.get_by_role("dialog", name="Withdraw the invitation of new@example.org?")
    items.pop()
    dialog.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("row", name="new@example.org")).to_have_count(0)
    assert len(app.list_calls("DELETE /auth/invitations/id-new@example.org")) == 1


def test_key_of_a_service_account_is_shown_once(context: BrowserContext) -> None:
    created = {"id": "sa-1", "name": "import", "key": "sk_secret", "keys": [], "permissions": []}
    app = AppPage(
        context,
        {
            "GET /auth/service-accounts": list_page([]),
            "POST /auth/service-accounts": created,
        },
    )
    page = app.open("/admin/service-accounts")
    page.get_by_role("button", name="New service account").click()
    dialog = page.get_by_role("dialog", name="New service account")
    dialog.get_by_label("Name").fill("import")
    dialog.get_by_role("button", name="Create").click()
    secret = page.get_by_role("dialog", name="Key of import")
    expect(secret).to_contain_text("sk_secret")
    secret.get_by_role("button", name="I have saved it").click()
    expect(page.get_by_text("sk_secret")).to_have_count(0)
    _, body = app.list_calls("POST /auth/service-accounts")[0]
    assert body == {"name": "import", "permissions": ["rag:read"]}


def test_health_shows_a_service_that_does_not_respond(context: BrowserContext) -> None:
    health = {
        "status": "degraded",
        "timestamp": "2026-11-29T10:00:00Z",
        "version": "1",
        "services": {
            "auth": {"status": "healthy", "latency_ms": 4.2},
            "chat": {"status": "healthy", "latency_ms": 3.1},
            "rag": {"status": "unhealthy", "latency_ms": None},
        },
        "dependencies": {"redis": {"status": "unhealthy", "latency_ms": None}},
    }
    details = {"dependencies": {"database": {"status": "healthy", "latency_ms": 0.4}}}
    stalled = {"dependencies": {"worker": {"status": "unhealthy", "latency_ms": 0.4}}}
    app = AppPage(
        context,
        {
            "GET /health": health,
            "GET /auth/health/detailed": details,
            "GET /chat/health/detailed": stalled,
            "GET /rag/health/detailed": Failure(502, "upstream_unavailable", "rag is down."),
        },
    )
    page = app.open("/admin/health")
    expect(page.get_by_text("Some services do not work.")).to_be_visible()
    card = page.locator(".health-card", has_text="Documents and search")
    expect(card).to_contain_text("down")
    expect(page.locator(".health-card", has_text="Sign-in and users")).to_contain_text("Database")
    chat = page.locator(".health-card", has_text="Chat channels")
    expect(chat.locator(".health-row", has_text="Worker")).to_contain_text("down")
    gateway = page.locator(".health-card", has_text="Gateway")
    expect(gateway).to_contain_text("healthy")
    expect(gateway.locator(".health-row", has_text="Valkey")).to_contain_text("down")


def test_health_is_requested_only_while_the_page_is_visible(context: BrowserContext) -> None:
    health = {
        "status": "healthy",
        "timestamp": "2026-11-29T10:00:00Z",
        "version": "1",
        "services": {},
        "dependencies": {},
    }
    app = AppPage(context, {"GET /health": health})
    app.page.clock.install()
    page = app.open("/admin/health")
    expect(page.get_by_text("All services work.")).to_be_visible()
    page.clock.run_for(10_000)
    page.wait_for_timeout(50)
    visible = len(app.list_calls("GET /health"))
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    page.clock.run_for(60_000)
    page.wait_for_timeout(50)
    assert visible == 2
    assert len(app.list_calls("GET /health")) == visible


def test_usage_shows_the_cost_of_models_with_a_price(context: BrowserContext) -> None:
    def usage(model: str) -> dict[str, Any]:
        tokens = {"prompt_tokens": 3_000_000, "completion_tokens": 500_000}
        totals = {"total_tokens": 3_500_000, "calls": 9}
        return {"date": "2026-11-29", "user_id": "user-1", "model": model} | tokens | totals

    def model(name: str, price: object) -> dict[str, Any]:
        common = {"provider": "openai", "default": False, "context_tokens": None}
        return {"id": name, "capabilities": ["writing"], "price": price} | common

    app = AppPage(
        context,
        {
            "GET /agent/usage/tenant": {
                "tenant": {"used": 10, "limit": None},
                "resets_at": "2026-11-30T00:00:00Z",
                "items": [usage("large"), usage("free")],
            },
            "GET /agent/models": list_page(
                [model("large", {"input": 2.5, "output": 10}), model("free", None)]
            ),
        },
    )
    page = app.open("/admin/usage")
    table = page.get_by_role("group", name="By model")
    expect(table.get_by_role("row", name="large")).to_contain_text("12.50")
    expect(table.get_by_role("row", name="free").get_by_role("cell").last).to_have_text("\u2013")
    app.go_to("/admin/models")
    expect(page.locator("#main")).to_contain_text("2.50 read, 10.00 written")
    expect(page.locator("#main")).to_contain_text("LLM_PRICES")
