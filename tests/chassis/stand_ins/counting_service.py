"""A service of several workers under the real gunicorn: `python counting_service.py PORT`."""

import os
import sys

from flask import Flask, Response

from backend.chassis.service_description import Service
from backend.chassis.web import serving


def counting_app(_: Service) -> Flask:
    # Within the worker, as every service does: its numbers' folder is known by then.
    from backend.chassis.observability.metrics import Metrics, count_requests, metrics_response

    app = Flask("counting")
    metrics = count_requests(app, Metrics())

    @app.get("/who")
    def who() -> Response:
        response = Response(str(os.getpid()))
        response.headers["Connection"] = "close"
        return response

    @app.get("/metrics")
    def text() -> Response:
        return metrics_response(metrics)

    return app


if __name__ == "__main__":
    serving.application = counting_app
    serving.serve(Service("counting", int(sys.argv[1])))
