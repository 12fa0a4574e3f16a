"""Minimal Flask service under gunicorn: `python bare_service.py PORT`."""

import os
import sys
import time

from flask import Flask, Response

from backend.chassis.service_description import Service
from backend.chassis.settings import SettingsError
from backend.chassis.web import serving
from backend.chassis.web.single_process import SingleWorker


def bare_app(_: Service) -> Flask:
    if os.environ.get("BROKEN") == "bug":
        raise ZeroDivisionError
    if os.environ.get("BROKEN"):
        raise SettingsError("SOME_KEY is not set. Add it to .env.")
    app = Flask("bare")

    @app.get("/health")
    def health() -> Response:
        return Response(f"{os.getpid()} {os.getppid()}")

    running: list[object] = []

    @app.get("/slow")
    def slow() -> Response:
        """Respond after a second with the number of requests to this path at the same time."""
        running.append(None)
        time.sleep(1)
        count = len(running)
        running.pop()
        return Response(str(count))

    @app.get("/running")
    def count_running() -> Response:
        return Response(str(len(running)))

    @app.get("/endless")
    def endless() -> Response:
        running.append(None)
        time.sleep(600)
        return Response()

    @app.get("/fast")
    def fast() -> Response:
        return Response("done")

    return app


class HangingWorker(SingleWorker):
    """Stops to process events after its first heartbeat."""

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        self.timeout = float(os.environ["HANG_SECONDS"]) / 2
        self.notify()
        time.sleep(600)


if __name__ == "__main__":
    if "HANG_SECONDS" in os.environ:
        serving.get_single_worker_class = lambda _: HangingWorker
    serving.load_app = bare_app
    serving.serve(Service("bare", int(sys.argv[1])))
