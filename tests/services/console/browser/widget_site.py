"""A chat service behind a gateway in this process, and a site with pages that show its widget.

A fake agent answers. The pages have a strict content security policy.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from flask import Flask

from backend.chassis.catalog import CATALOG
from backend.chassis.settings import CommonSettings, Env, Secret
from backend.chassis.web.app_factory import get_component
from backend.security import BUILT_IN_ROLES
from backend.security.authentication import get_security_context
from backend.security.limits import Limiter
from backend.services.chat.app import create_app
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.settings import Settings
from backend.services.gateway.app import create_app as create_gateway
from backend.services.gateway.settings import Settings as GatewaySettings
from tests.databases import database_in
from tests.identities import Identities
from tests.services.agent.fakes import run_server
from tests.services.chat.fakes import FakeAgent
from tests.services.gateway.data_paths import RunningEdge, serve_flask

# The browser resolves it to this machine: a site other than that of the chat.
SITE = "console.test"
_SCRIPT = '<script src="{chat}/chat/widget.js" data-account="{account}" async></script>'
_HEADING = "<title>Shop</title><main><h1>Shop</h1><p>Parcels and more.</p>"
# HTML by path, with the address of the chat and its account.
_PAGES = {
    "/": f'<html lang="en">{_SCRIPT}{_HEADING}</main>',
    "/rtl": f'<html lang="de" dir="rtl">{_HEADING}</main>{_SCRIPT}',
    "/sandbox": f"""<html lang="en">{_HEADING}
        <iframe title="Chat" width="400" height="600" sandbox="allow-scripts allow-forms"
                src="{{chat}}/chat/web/{{account}}"></iframe></main>""",
}


class HostPages:
    """A site whose pages show the chat."""

    def __init__(self) -> None:
        self.values = {"chat": "", "account": ""}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = _PAGES.get(self.path)
                self.send_response(404 if page is None else 200)
                chat = site.values["chat"]
                policy = f"default-src 'none'; script-src {chat}; frame-src {chat}"
                self.send_header("Content-Security-Policy", policy)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                text = "" if page is None else f"<!doctype html>{page.format(**site.values)}"
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.origin = f"http://{SITE}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@dataclass
class Chat:
    """The running chat service behind a gateway, and the site with an account."""

    app: Flask
    url: str
    site: HostPages
    identities: Identities

    def call(self, method: str, path: str, role: str, **options: Any) -> Any:
        headers = self.identities.bearer(
            f"user-{role}", tenant_id="tenant-team", permissions=BUILT_IN_ROLES[role]
        )
        response = self.app.test_client().open(path, method=method, headers=headers, **options)
        assert response.status_code < 300, response.text
        return response.json

    def create_account(self, *origins: str) -> str:
        """Create an account, which the pages of the site use from now on."""
        settings = {
            "origins": list(origins),
            "title": "Shop chat",
            "greeting": "Hello! **How** can we help?",
            "colour": "#0f766e",
        }
        body = {
            "channel": "web",
            "name": "Shop",
            "settings": settings,
            "agent_key": "aas_sa.secret",
        }
        account = self.call("POST", "/accounts", "tenant_admin", json=body)
        self.site.values = {"chat": self.url, "account": account["id"]}
        return str(account["id"])

    def answer_as_colleague(self, account: str, text: str) -> None:
        """Answer in the only conversation of *account*."""
        found = self.call("GET", f"/conversations?account_id={account}", "support")["items"]
        path = f"/conversations/{found[0]['id']}/messages"
        self.call("POST", path, "support", json={"content": "A note.", "internal": True})
        self.call("POST", path, "support", json={"content": text})


@contextlib.contextmanager
def run_chat(folder: Path) -> Iterator[Chat]:
    """Run the services with their data in *folder*."""
    identities = Identities()
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(run_server(FakeAgent()))
        app = identities.trust(create_app(_create_settings(folder, agent.url)))
        stack.callback(get_component(app, WorkerWaker).stop)
        port = stack.enter_context(serve_flask(app))
        urls = {
            entry.url_variable: f"http://127.0.0.1:{port}"
            for entry in CATALOG
            if not entry.is_gateway
        }
        env = Env({"DATA_DIR": str(folder), "RATE_LIMIT_API": "10000/minute", **urls})
        security = get_security_context(identities.trust(Flask("gateway")))
        gateway = create_gateway(GatewaySettings.from_env(env), security, Limiter(None))
        edge = stack.enter_context(RunningEdge(gateway))
        yield Chat(app, f"http://127.0.0.1:{edge.port}", HostPages(), identities)


def _create_settings(folder: Path, agent_url: str) -> Settings:
    common = CommonSettings(
        name="chat",
        is_production=False,
        host="127.0.0.1",
        port=5004,
        data_dir=folder,
        redis_url=None,
        secret_key=Secret("a secret of the tests"),
        # A quarter of the threads serves streams; those of earlier tests end with a delay.
        threads=64,
    )
    return Settings(
        common=common,
        database_url=database_in(folder, "chat"),
        agent_urls=(agent_url,),
        auth_urls=(agent_url,),
        worker_port=0,
        public_url="https://chat.example.org",
        private_hosts=(),
        max_wait=timedelta(seconds=10),
        session_lifetime=timedelta(hours=1),
        config_cache_lifetime=timedelta(minutes=5),
        response_cache_lifetime=timedelta(minutes=30),
        mongodb_variables=(),
    )
