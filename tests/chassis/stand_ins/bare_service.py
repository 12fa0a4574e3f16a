"""Minimal Flask service under gunicorn: `python bare_service.py PORT`."""

import os
import sys
import time

from flask import Flask, Response

from backend.chassis.service_description import Service
from backend.chassis.settings import SettingsError
from backend.chassis.web import serving


def bare_app(_: Service) -> Flask:
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

    @app.get("/fast")
    def fast() -> Response:
        return Response("done")

    return app


if __name__ == "__main__":
    serving.load_app = bare_app
    serving.serve(Service("bare", int(sys.argv[1])))
