"""A browser page that loads the console's static modules from disk, without a server."""

import json
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from playwright.sync_api import Page, Route

import backend.services.console

STATIC = Path(backend.services.console.__file__).parent / "static"
BASE = "http://console.test"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE = "<!doctype html><html lang=en><title>test</title><body><main id=main></main></body></html>"


class StaticPage:
    """Serves modules to *page* and records what the page must not do.

    `calls` are the requests to the API; `findings` are errors, policy violations and requests to
    other hosts. *responses* maps "POST /console/code" to the JSON of the response.
    """

    def __init__(self, page: Page, responses: dict[str, Any] | None = None) -> None:
        self.page = page
        self.responses = responses or {}
        self.calls: list[tuple[str, Any]] = []
        self.findings: list[str] = []
        page.on("pageerror", lambda error: self.findings.append(f"error: {error}"))
        page.on("console", lambda entry: self._record(entry.type, entry.text))
        page.on("dialog", lambda dialog: self._dismiss(dialog))
        page.route("**/*", self._fulfill)
        page.goto(f"{BASE}/console/")

    def run(self, script: str, argument: object = None) -> Any:
        """Run the body of an async function. `load(name)` imports a module of static/."""
        return self.page.evaluate(
            "async (argument) => {"
            " const load = (name) => import(`/static/${name}`);"
            f" {script} }}",
            argument,
        )

    def _record(self, kind: str, text: str) -> None:
        if kind == "error":
            self.findings.append(f"console: {text}")

    def _dismiss(self, dialog: Any) -> None:
        self.findings.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _fulfill(self, route: Route) -> None:
        url = urlparse(route.request.url)
        if url.netloc != urlparse(BASE).netloc:
            self.findings.append(f"request: {route.request.url}")
            route.abort()
        elif url.path == "/console/":
            route.fulfill(
                body=_PAGE,
                content_type="text/html",
                headers={"Content-Security-Policy": POLICY},
            )
        elif url.path.startswith("/static/"):
            file = STATIC / url.path.removeprefix("/static/")
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            route.fulfill(body=file.read_bytes(), content_type=kind)
        else:
            self._answer(route, url.path)

    def _answer(self, route: Route, path: str) -> None:
        request = route.request
        self.calls.append((f"{request.method} {path}", request.post_data_json))
        response = self.responses.get(f"{request.method} {path}")
        if callable(response):
            response = response(request.post_data_json)
        if response is None:
            route.fulfill(status=404, json={"title": "not found", "code": "not_found"})
        else:
            route.fulfill(body=json.dumps(response), content_type="application/json")
