"""python-socketio on uvicorn with one room. Run it with a port and a Redis URL as arguments."""

import sys

import socketio
import uvicorn

server = socketio.AsyncServer(
    async_mode="asgi", client_manager=socketio.AsyncRedisManager(sys.argv[2])
)


@server.event
async def connect(sid: str, _environ: object, _auth: object = None) -> None:
    await server.enter_room(sid, "packages")


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(server), port=int(sys.argv[1]), log_level="warning", ws="websockets"
    )
