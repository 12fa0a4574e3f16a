"""Run the realtime service over real sockets, on an event loop in a thread."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import uvloop
from flask import Flask
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from backend.chassis.messaging.consumer import EventConsumer
from backend.chassis.settings import Env
from backend.services.realtime.app import create_app
from backend.services.realtime.domain.loop_calls import LoopCalls
from backend.services.realtime.domain.publications import publish
from backend.services.realtime.edge.http_connection import RealtimeHttpConnection
from backend.services.realtime.edge.server import RealtimeServer
from backend.services.realtime.edge.worker import create_realtime_server
from backend.services.realtime.model import SocketLimits
from backend.services.realtime.settings import Settings
from tests.databases import variables_in
from tests.identities import Identities


class RunningRealtime:
    """One process of the service, in a thread."""

    def __init__(self, app: Flask, port: int = 0) -> None:
        self.app = app
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = port
        self.server: RealtimeServer
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> "RunningRealtime":
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(60)
            self.app.extensions["backend.components"][EventConsumer].stop()

    def call(self, function, *arguments):
        """Call *function* on the event loop and return its result."""

        async def run():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def publish(self, tenant_id: str, topic: str, data: object, **options):
        calls: LoopCalls = self.app.extensions["backend.components"][LoopCalls]
        text = data if isinstance(data, str) else json.dumps(data)
        return calls.run(lambda broker: publish(broker, tenant_id, topic, text, **options))

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def connect(self, path: str = "/ws/connect", **options) -> Iterator["Client"]:
        """Open a WebSocket."""
        with connect(self.url + path, compression=None, **options) as socket:
            yield Client(socket)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.server = create_realtime_server(self.app, self.loop)
        self.server.start()
        listener = await self.loop.create_server(
            lambda: RealtimeHttpConnection(self.server), "127.0.0.1", self.port, backlog=512
        )
        self.port = listener.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        listener.close()
        self.server.stop()
        await self.server.broker.stop()
        await asyncio.sleep(0.05)


class Client:
    """A WebSocket client that sends and receives JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._id = 0

    def send(self, command: object) -> None:
        self.socket.send(json.dumps(command))

    def receive(self, timeout: float = 30):
        return json.loads(self.socket.recv(timeout))

    def receive_reply(self, timeout: float = 30):
        """Return the next reply to a command, without the pings before it."""
        while "id" not in (message := self.receive(timeout)):
            assert message == {}
        return message

    def receive_push(self, timeout: float = 30):
        """Return the next push. The first ping can arrive at any time."""
        while "push" not in (message := self.receive(timeout)):
            assert message == {}
        return message["push"]

    def ask(self, **command):
        """Send a command and return the reply to it, without pushes that arrive before."""
        self._id += 1
        self.send({"id": self._id, **command})
        while True:
            reply = self.receive()
            if reply.get("id") == self._id:
                return reply

    def authenticate(self, token: str):
        return self.ask(connect={"token": token})

    def subscribe(self, topic: str, **options):
        return self.ask(subscribe={"channel": topic, **options})

    def receive_data(self, timeout: float = 30):
        """Return the data of the next publication."""
        while True:
            message = self.receive(timeout)
            publication = message.get("push", message).get("pub")
            if publication is not None:
                return publication["data"]

    def _read_all(self, timeout: float) -> None:
        while True:
            self.socket.recv(timeout)

    def read_close(self, timeout: float = 30) -> tuple[int, str]:
        """Return code and reason of the close frame, after all other messages."""
        with pytest.raises(ConnectionClosed) as closed:
            self._read_all(timeout)
        frame = closed.value.rcvd
        assert frame is not None
        return frame.code, frame.reason


def build_app(
    folder, identities: Identities, redis_url: str | None = None, limits=None, **variables: str
) -> Flask:
    """Build the service with its tables in *folder*."""
    environment = {"DATA_DIR": str(folder / "data"), **variables_in(folder / "data"), **variables}
    settings = Settings.from_env(Env(environment))
    settings = replace(settings, common=replace(settings.common, redis_url=redis_url))
    if limits is not None:
        settings = replace(settings, sockets=replace(SocketLimits(), **limits))
    return identities.trust(create_app(settings))
