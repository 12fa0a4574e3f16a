"""A minimal ASGI server on h11 that runs a third-party app on loopback."""

import asyncio
from contextlib import suppress
from typing import Any

import h11


async def serve(app: Any, port: int) -> None:
    """Serve the Starlette *app* on a loopback *port* until cancelled."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, h11.RemoteProtocolError):
            await _connection(app, reader, writer)
        writer.close()

    async with app.router.lifespan_context(app):
        server = await asyncio.start_server(accept, "127.0.0.1", port)
        async with server:
            await server.serve_forever()


async def _connection(app: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = h11.Connection(h11.SERVER)

    async def next_event() -> Any:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        return event

    while isinstance(request := await next_event(), h11.Request):
        body = bytearray()
        while isinstance(part := await next_event(), h11.Data):
            body += part.data
        await app(_scope(request), _receive(bytes(body)), _send(connection, writer))
        await writer.drain()
        if connection.our_state is not h11.DONE:
            return
        connection.start_next_cycle()


def _scope(request: h11.Request) -> dict[str, Any]:
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method.decode(),
        "scheme": "http",
        "path": path.decode(),
        "raw_path": path,
        "query_string": query,
        "headers": list(request.headers),
        "server": ("127.0.0.1", 0),
        "client": ("127.0.0.1", 0),
    }


def _receive(body: bytes) -> Any:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()  # the client does not disconnect
        raise AssertionError

    return receive


def _send(connection: h11.Connection, writer: asyncio.StreamWriter) -> Any:
    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            event: Any = h11.Response(
                status_code=message["status"], headers=list(message.get("headers", ()))
            )
            writer.write(connection.send(event))
            return
        writer.write(connection.send(h11.Data(data=message.get("body", b""))))
        if not message.get("more_body"):
            writer.write(connection.send(h11.EndOfMessage()))
        await writer.drain()

    return send
