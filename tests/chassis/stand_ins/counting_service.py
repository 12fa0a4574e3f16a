"""Service with request metrics under gunicorn: `python counting_service.py PORT`."""

import os
import sys

from flask import Flask, Response

from backend.chassis.service_description import Service
from backend.chassis.web import serving


def counting_app(_: Service) -> Flask:
    # Imported in the worker, as in every service: the folder for metrics is set by then.
    from backend.chassis.observability.metrics import (
        Metrics,
        build_metrics_response,
        count_requests,
    )

    app = Flask("counting")
    metrics = count_requests(app, Metrics())

    @app.get("/who")
    def who() -> Response:
        response = Response(str(os.getpid()))
        response.headers["Connection"] = "close"
        return response

    @app.get("/metrics")
    def text() -> Response:
        return build_metrics_response(metrics)

    return app


if __name__ == "__main__":
    serving.load_app = counting_app
    serving.serve(Service("counting", int(sys.argv[1])))
