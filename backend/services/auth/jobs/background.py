"""A thread of a service that works beside its requests."""

import threading
from collections.abc import Callable

from flask import Flask


def run_beside(app: Flask, name: str, work: Callable[[], None]) -> None:
    """Run *work* from the first request of *app* on: after a fork, in the process that serves."""
    starting = threading.Lock()
    threads: list[threading.Thread] = []

    @app.before_request
    def start() -> None:
        if threads and threads[0].is_alive():
            return
        with starting:
            if not threads or not threads[0].is_alive():
                thread = threading.Thread(target=work, name=name, daemon=True)
                threads[:] = [thread]
                thread.start()
