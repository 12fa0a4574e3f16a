"""Run an asyncio service without gunicorn, with the reloader of Flask's development server."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable

import uvloop
from flask import Flask

# Not public, but the only way to use the reloader with a server that is not WSGI.
from werkzeug._reloader import run_with_reloader
from werkzeug.serving import is_running_from_reloader

from backend.chassis.breakpoints import explain_breakpoints
from backend.chassis.catalog import get_service
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.settings import CommonSettings, SettingsError, load_env
from backend.chassis.web.asyncio_server.server_state import ServerState

CreateServer = Callable[
    [Flask, asyncio.AbstractEventLoop], tuple[ServerState, Callable[[], asyncio.Protocol]]
]


def run_development_server(
    create_app: Callable[[], Flask], create_server: CreateServer, name: str
) -> None:
    """Run one service: `python -m backend.services.NAME.app`. In debug mode it is reloaded.

    Args:
        create_app: returns the Flask app.
        create_server: returns the state of the server and a factory of connections.
        name: name of the service.
    """
    env = load_env()
    try:
        common = CommonSettings.from_env(env, name)
    except SettingsError as error:
        sys.exit(f"{name}: {error}")
    # As for Flask's development server: debug mode never listens on an outside address.
    host = "127.0.0.1" if env.is_debug else common.host
    explain_breakpoints(get_service(name).module)

    def serve() -> None:
        try:
            app = create_app()
        except SettingsError as error:
            sys.exit(f"{name}: {error}")
        app.debug = env.is_debug
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, create_server, host, common.port))

    if not env.is_debug:
        serve()
        return
    if is_running_from_reloader():
        die_with_parent(os.getppid())
    logging.getLogger("werkzeug").setLevel(logging.INFO)
    run_with_reloader(serve)


async def _serve(app: Flask, create_server: CreateServer, host: str, port: int) -> None:
    """Serve until the process is interrupted."""
    loop = asyncio.get_running_loop()
    state, create_connection = create_server(app, loop)
    state.start()
    await loop.create_server(create_connection, host, port)
    try:
        await asyncio.Event().wait()
    finally:
        state.stop()
