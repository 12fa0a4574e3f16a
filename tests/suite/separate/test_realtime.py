"""Realtime through the gateway of a running suite: clients, an agent run, killed processes."""

import asyncio
import functools
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import socketio
from centrifuge import Client, PublicationContext, SubscribedContext, SubscriptionEventHandler

from tests.servers import wait_until
from tests.suite.conftest import list_descendants, running_suite

# The SDK leaves a transport open if its connection breaks.
pytestmark = [
    pytest.mark.suite,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    with running_suite(
        tmp_path_factory.mktemp("realtime"), ADMIN_PASSWORD="an admin password 7 boats"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def admin(suite):
    credentials = {"username": "admin", "password": "an admin password 7 boats"}
    response = requests.post(f"{suite.url}/auth/login", json=credentials, timeout=30)
    assert response.status_code == 200, response.text
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
    session.tenant = session.get(f"{suite.url}/auth/me", timeout=30).json()["tenant_id"]
    return session


class Receiver(SubscriptionEventHandler):
    """A client of the Python SDK that subscribes to topics, on an event loop in a thread."""

    def __init__(self, suite, token, *topics):
        self.events = {topic: [] for topic in topics}
        self.lost = 0
        self._subscribed = 0
        self._url = suite.url.replace("http", "ws") + "/ws/connect"
        self._token, self._topics = token, topics
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self._subscribed >= len(self._topics))
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _handler(self, topic):
        receiver = self

        class Handler(SubscriptionEventHandler):
            async def on_publication(self, ctx: PublicationContext) -> None:
                receiver.events[topic].append(ctx.pub.data)

            async def on_subscribed(self, ctx: SubscribedContext) -> None:
                receiver._subscribed += 1
                receiver.lost += ctx.was_recovering and not ctx.recovered

        return Handler()

    async def _run(self):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        client = Client(
            self._url, token=self._token, min_reconnect_delay=0.1, max_reconnect_delay=0.5
        )
        await client.connect()
        for topic in self._topics:
            await client.new_subscription(topic, events=self._handler(topic)).subscribe()
        await self._stop.wait()
        await client.disconnect()


BROWSER = os.environ.get("CONSOLE_TEST_BROWSER", "/usr/bin/chromium")
SDK = "centrifuge@5.8.0"
PAGE = """<!doctype html><title>client</title><script src="centrifuge.js"></script><script>
const [url, token, topic] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
window.events = [];
window.lost = 0;
const client = new Centrifuge(url, {token, minReconnectDelay: 100, maxReconnectDelay: 500});
const subscription = client.newSubscription(topic);
subscription.on("publication", (context) => window.events.push(context.data));
subscription.on("subscribed", (context) => {
  window.isSubscribed = true;
  window.lost += context.wasRecovering && !context.recovered ? 1 : 0;
});
subscription.subscribe();
client.connect();
</script>"""


@pytest.fixture
def browser_page(tmp_path, suite, admin):
    """A page in Chromium on which the JavaScript SDK has subscribed to the topic `packages`.

    The SDK comes from the npm registry, as a web application installs it.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(BROWSER).exists() or not shutil.which("npm"):
        pytest.skip("needs Chromium (CONSOLE_TEST_BROWSER) and npm, which downloads the SDK")
    npm = ["npm", "pack", "--silent", SDK]
    subprocess.run(npm, cwd=tmp_path, check=True, timeout=120)
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        source = archive.extractfile("package/dist/centrifuge.js")
        (tmp_path / "centrifuge.js").write_bytes(source.read())
    (tmp_path / "index.html").write_text(PAGE)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = suite.url.replace("http", "ws") + "/ws/connect"
    fragment = json.dumps([url, get_token(admin), "packages"])
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html#{fragment}")
        page.wait_for_function("window.isSubscribed")
        yield page
        browser.close()
    server.shutdown()
    server.server_close()


def get_token(session):
    return session.headers["Authorization"].removeprefix("Bearer ")


def publish(suite, admin, number):
    body = {"tenant_id": admin.tenant, "topic": "packages", "data": {"n": number}}
    deadline = time.monotonic() + 60
    while True:
        response = admin.post(f"{suite.url}/realtime/publish", json=body, timeout=30)
        if response.status_code == 202:
            return
        assert response.status_code in (429, 502, 503, 504), response.text
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_agent_run_is_received_as_a_topic(suite, admin):
    with (
        Receiver(suite, get_token(admin), "agents") as runs,
    ):
        body = {"user_request": "What is 2 + 3?", "stream": True}
        response = admin.post(f"{suite.url}/agent/query", json=body, stream=True, timeout=60)
        names = [
            line.removeprefix(b"event: ").decode()
            for line in response.iter_lines()
            if line.startswith(b"event: ")
        ]
        wait_until(lambda: len(runs.events["agents"]) == 2)
        run_id = runs.events["agents"][0]["data"]["run_id"]
        history = admin.get(
            f"{suite.url}/realtime/history/agents:{run_id}?limit=1000", timeout=30
        ).json()
        assert [item["data"]["type"] for item in history["publications"]] == names
        assert names[-1] == "done"


def test_ticket_opens_an_event_stream(suite, admin):
    ticket = admin.post(f"{suite.url}/realtime/tickets", timeout=30).json()["ticket"]
    url = f"{suite.url}/sse/packages?ticket={ticket}"
    with requests.get(url, stream=True, timeout=30) as stream:
        assert stream.status_code == 200
        publish(suite, admin, 1)
        line = next(line for line in stream.iter_lines() if line.startswith(b"data: "))
        assert json.loads(line.removeprefix(b"data: "))["pub"]["data"]["data"] == {"n": 1}
    assert requests.get(url, timeout=30).status_code == 401


def test_nothing_is_lost_when_processes_are_killed(suite, admin):
    received = []
    client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.5)
    position = {}

    def subscribe():
        client.emit("subscribe", ("packages", position or None), callback=lambda *_: None)

    def on_publication(_, data, place):
        position.update(place)
        received.append(data["data"]["n"])

    client.on("connect", subscribe)
    client.on("publication", on_publication)
    client.connect(suite.url, transports=["websocket"], auth={"token": get_token(admin)})
    with Receiver(suite, get_token(admin), "packages") as sdk:
        for number in range(100, 160):
            publish(suite, admin, number)
            if number in (115, 145):
                os.kill(suite.get_pid("realtime-service"), signal.SIGKILL)
            if number == 130:
                os.kill(suite.get_pid("valkey"), signal.SIGKILL)
        expected = list(range(100, 160))
        wait_until(lambda: len(set(get_numbers(sdk))) == 60, 60)
        wait_until(lambda: len(set(received)) == 60, 60)
        # A publication that was sent again after an error may be stored twice.
        assert sorted(set(get_numbers(sdk))) == sorted(set(received)) == expected
        assert get_numbers(sdk) == sorted(get_numbers(sdk))
        assert sdk.lost == 0
    client.disconnect()


def test_browser_receives_each_publication_although_processes_are_killed(
    suite, admin, browser_page
):
    for number in range(200, 260):
        publish(suite, admin, number)
        if number in (215, 245):
            os.kill(suite.get_pid("realtime-service"), signal.SIGKILL)
        if number == 230:
            os.kill(suite.get_pid("valkey"), signal.SIGKILL)

    browser_page.wait_for_function(
        "new Set(events.map(event => event.data.n)).size === 60", timeout=60_000
    )
    numbers = [event["data"]["n"] for event in browser_page.evaluate("events")]
    # A publication that was sent again after an error may be stored twice.
    assert numbers == sorted(numbers)
    assert sorted(set(numbers)) == list(range(200, 260))
    assert browser_page.evaluate("lost") == 0


def get_numbers(receiver):
    return [event["data"]["n"] for event in receiver.events["packages"]]


def test_revoked_session_is_disconnected_through_the_gateway(suite):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    user = suite.register_user("rita")
    token = get_token(user.session)
    with connect(suite.url.replace("http", "ws") + "/ws/connect") as socket:
        socket.send(json.dumps({"id": 1, "connect": {"token": token}}))
        assert "connect" in json.loads(socket.recv(10))
        assert user("POST", "/auth/logout", json={}).status_code in (200, 204, 400, 422)
        assert user("POST", "/auth/logout/all", json={}).status_code < 500
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 3500


def test_idle_memory_of_the_service(suite):
    total = sum(read_pss(pid) for pid in list_processes(suite, "realtime-service"))
    assert total < 60_000  # kB


def list_processes(suite, name):
    pid = suite.get_pid(name)
    return [pid, *(child for child, _ in list_descendants(pid))]


def read_pss(pid):
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0])
