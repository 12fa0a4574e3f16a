"""Browser pages that load the console's files without a service, with a stand-in for the API.

They show states that a running suite reaches only with effort: ten thousand documents, failures of
a service, missing permissions.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlparse

from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute

from backend.chassis.static_files import create_static_file
from backend.security.permissions import BUILT_IN_ROLES
from backend.services.console.app import PUBLIC_PREFIX, STATIC_FOLDER
from backend.services.console.domain.assets import Assets
from backend.services.console.routes.pages import CONTENT_SECURITY_POLICY

BASE = "http://localhost"
_EMPTY_PAGE = (
    "<!doctype html><html lang=en><title>test</title><body><main id=main></main></body></html>"
)
_EOL = "\n"
# Version in the addresses of single source files. The application's files are joined.
_SOURCE = "source"
_LOAD = f"""
const load = async (name) => {{
  const script = document.querySelector("script[type=module]");
  if (!script) return import(`/console/assets/{_SOURCE}/${{name}}`);
  const {{ modules }} = await import(script.src);
  return modules[name] ?? import(new URL(name, script.src));
}};
"""
Answer = Any
"""JSON or a WebP image of a response, or a function of query and body that returns it. A `Failure`
is an error, the member `_status` another status than 200."""


class Failure(Exception):
    """A problem document as the response to a request."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str = "",
        *,
        retry_after: int | None = None,
        **members: Any,
    ) -> None:
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.body = {"status": status, "code": code, "detail": detail, "title": code, **members}
        super().__init__(code)


class EventStream:
    """A response with server-sent events, which ends after them: (id or None, name, data)."""

    def __init__(self, *events: tuple[int | None, str, Any]) -> None:
        self.body = "".join(
            f"{'' if number is None else f'id: {number}{_EOL}'}event: {name}{_EOL}"
            f"data: {json.dumps(data)}{_EOL}{_EOL}"
            for number, name, data in events
        )


class StaticPage:
    """A page of the console whose API requests are answered by *answers*.

    Attributes:
        answers: maps "POST /console/code" to a response; a path may end in "*".
        calls: the API requests as (method and path, query, body).
        headers: the headers of the last API request, with lower-case names.
        findings: errors, policy violations and requests to other hosts.
    """

    def __init__(
        self, context: BrowserContext, answers: Mapping[str, Answer] | None = None
    ) -> None:
        self.page: Page = context.new_page()
        self.answers: dict[str, Answer] = dict(answers or {})
        self.calls: list[tuple[str, dict[str, str], Any]] = []
        self.headers: dict[str, str] = {}
        self.findings: list[str] = []
        self.page.on("pageerror", lambda error: self.findings.append(f"error: {error}"))
        self.page.on("console", self._record_console)
        self.page.on("dialog", self._dismiss)
        self.page.route("**/*", self._fulfill)

    def open_empty(self) -> None:
        """Open a page without the application, for tests of single modules."""
        self.page.goto(f"{BASE}/console/empty")

    def run(self, script: str, argument: object = None) -> Any:
        """Run the body of an async function.

        `load(name)` returns the exports of a module of static/, with the state that it has in the
        application.
        """
        return self.page.evaluate(f"async (argument) => {{ {_LOAD} {script} }}", argument)

    def list_calls(self, name: str) -> list[tuple[dict[str, str], Any]]:
        """Return query and body of all requests with this method and path."""
        return [(query, body) for call, query, body in self.calls if call == name]

    def _record_console(self, entry: Any) -> None:
        # The browser reports every response with an error status.
        if entry.type == "error" and "Failed to load resource" not in entry.text:
            self.findings.append(f"console: {entry.text}")

    def _dismiss(self, dialog: Any) -> None:
        self.findings.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _fulfill(self, route: Route) -> None:
        url = urlparse(route.request.url)
        if f"{url.scheme}://{url.netloc}" != BASE:
            self.findings.append(f"request: {route.request.url}")
            route.abort()
        elif url.path.startswith("/console/assets/"):
            self._send_file(route, *url.path.split("/", 4)[3:])
        elif route.request.resource_type == "document":
            self._send_page(route, url.path)
        else:
            self._send_answer(route, url.path, dict(parse_qsl(url.query)))

    def _send_file(self, route: Route, version: str, name: str) -> None:
        files = _load_assets().files
        if version == _SOURCE and (STATIC_FOLDER / name).is_file():
            file = create_static_file(name, (STATIC_FOLDER / name).read_bytes())
        elif version != _SOURCE and name in files:
            file = files[name]
        else:
            self.findings.append(f"missing file: {name}")
            route.fulfill(status=404)
            return
        route.fulfill(body=file.content, content_type=file.content_type)

    def _send_page(self, route: Route, path: str) -> None:
        page = _load_assets().root_files["index.html"].content
        route.fulfill(
            body=_EMPTY_PAGE if path == "/console/empty" else page,
            content_type="text/html",
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
        )

    def _send_answer(self, route: Route, path: str, query: dict[str, str]) -> None:
        request = route.request
        name = f"{request.method} {path}"
        is_json = "json" in (request.headers.get("content-type") or "")
        body = request.post_data_json if is_json else request.post_data
        self.calls.append((name, query, body))
        self.headers = request.headers
        try:
            answer = self._find_answer(name)
            result = answer(query, body) if callable(answer) else answer
            if isinstance(result, Failure):
                raise result
            _send_json(route, result)
        except Failure as failure:
            route.fulfill(
                status=failure.status,
                json=failure.body,
                headers={"Content-Type": "application/problem+json"} | failure.headers,
            )

    def _find_answer(self, name: str) -> Answer:
        if name in self.answers:
            return self.answers[name]
        for pattern, answer in self.answers.items():
            if pattern.endswith("*") and name.startswith(pattern[:-1]):
                return answer
        return Failure(404, "not_found", f"No answer for {name}")


class AppPage(StaticPage):
    """The application with a signed-in user of a built-in *role*."""

    def __init__(
        self,
        context: BrowserContext,
        answers: Mapping[str, Answer] | None = None,
        *,
        role: str = "admin",
        locale: str = "en",
    ) -> None:
        self.sockets: list[WebSocketRoute] = []
        super().__init__(context, _common_answers(role) | dict(answers or {}))
        self.page.route_web_socket(re.compile("/ws/connect"), self._accept_socket)
        self.page.add_init_script(
            "localStorage.setItem('has_session', 'true');"
            f"localStorage.setItem('locale', '{locale}')"
        )

    def open(self, path: str) -> Page:
        """Open a screen and wait until its content is there."""
        self.page.goto(f"{BASE}/console{path}")
        self.page.locator("#main h1").first.wait_for()
        return self.page

    def go_to(self, path: str) -> Page:
        """Show another screen without loading the page again."""
        self.page.evaluate(
            "path => { history.pushState(null, '', path);"
            " dispatchEvent(new PopStateEvent('popstate')); }",
            f"/console{path}",
        )
        return self.page

    def publish(self, notification: Mapping[str, Any]) -> None:
        """Send a notification to the page."""
        self.publish_event("user", "realtime.notification", notification)

    def publish_event(self, topic: str, event_type: str, data: Mapping[str, Any]) -> None:
        """Send an event of a topic to the page."""
        event = {"id": data.get("id", "event-1"), "type": event_type, "data": data}
        for socket in self.sockets:
            socket.send(json.dumps({"push": {"channel": topic, "pub": {"data": event}}}))

    def _accept_socket(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda _: socket.send(json.dumps({"id": 2, "subscribe": {}})))


def _send_json(route: Route, result: Any) -> None:
    if result is None:
        route.fulfill(status=204)
    elif isinstance(result, bytes):
        route.fulfill(body=result, content_type="image/webp")
    elif isinstance(result, EventStream):
        route.fulfill(body=result.body, content_type="text/event-stream")
    elif "_status" in result:
        members = {name: value for name, value in result.items() if name != "_status"}
        route.fulfill(status=result["_status"], json=members)
    else:
        route.fulfill(json=result)


@cache
def _load_assets() -> Assets:
    return Assets.load(STATIC_FOLDER, PUBLIC_PREFIX)


def list_page(items: list[Any], **members: Any) -> dict[str, Any]:
    """Return a list response without further pages."""
    return {"items": items, "next_cursor": None, **members}


def _common_answers(role: str) -> dict[str, Answer]:
    user: dict[str, Any] = {
        "id": "user-1",
        "username": "ada",
        "email": None,
        "pending_email": None,
        "display_name": "Ada Lovelace",
        "roles": [role],
        "permissions": sorted(BUILT_IN_ROLES[role]),
        "tenant_id": "tenant-1",
        "tenants": [{"id": "tenant-1", "slug": "u-1", "name": "Research", "roles": [role]}],
        "sign_in_methods": ["password"],
        "preferences": {},
        "created_at": "2026-11-01T08:00:00Z",
        "last_login_at": "2026-11-28T08:00:00Z",
    }
    notifications = list_page([], unread=0, read_offset=0)
    empty = list_page([])
    return {
        "GET /auth/me": user,
        "GET /agent/sessions": empty,
        "GET /agent/models": empty,
        "GET /agent/personas": empty,
        "GET /rag/collections": empty,
        "GET /rag/documents": empty,
        "GET /realtime/notifications": notifications,
        "POST /realtime/tickets": {"ticket": "t", "expires_in": 30},
    }
