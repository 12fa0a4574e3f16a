"""A service run by itself on Flask's own server, as `python -m backend.services.NAME.app`."""

import os

from flask import Flask

from backend.chassis.web.app_factory import run
from backend.security import public


def create_app() -> Flask:
    app = Flask("alone")

    @app.get("/health")
    @public
    def health() -> str:
        return f"{os.getpid()} {os.getppid()}"

    return app


if __name__ == "__main__":
    run(create_app, "auth")
