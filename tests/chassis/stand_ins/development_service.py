"""Service on Flask's development server, like `python -m backend.services.NAME.app`."""

import os

from flask import Flask

from backend.chassis.web.app_factory import run_development_server
from backend.security import public


def create_app() -> Flask:
    app = Flask("alone")

    @app.get("/health")
    @public
    def health() -> str:
        return f"{os.getpid()} {os.getppid()}"

    return app


if __name__ == "__main__":
    run_development_server(create_app, "auth")
