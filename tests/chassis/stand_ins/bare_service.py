"""Minimal Flask service under gunicorn: `python bare_service.py PORT`."""

import os
import sys

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

    return app


if __name__ == "__main__":
    serving.load_app = bare_app
    serving.serve(Service("bare", int(sys.argv[1])))
