"""Once a second: does the Redis-compatible server still know which sessions have ended?"""

import logging
import threading

from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend.services.auth.domain.revocations import Revoker

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5


def keep_told(app: Flask, revoker: Revoker) -> None:
    """Start at the first request of *app*: after a fork, in the process that serves."""
    starting = threading.Lock()
    threads: list[threading.Thread] = []

    @app.before_request
    def start() -> None:
        if threads and threads[0].is_alive():
            return
        with starting:
            if not threads or not threads[0].is_alive():
                thread = threading.Thread(
                    target=_watch, args=(revoker,), name="keep-told", daemon=True
                )
                threads[:] = [thread]
                thread.start()


def _watch(revoker: Revoker) -> None:
    pause = threading.Event()
    well = True
    while True:
        try:
            revoker.catch_up()
            well = True
        except (RedisError, SQLAlchemyError) as error:
            if well:
                _log.warning("revocations can't be told: %s", type(error).__name__)
            well = False
        pause.wait(_PAUSE_SECONDS)
