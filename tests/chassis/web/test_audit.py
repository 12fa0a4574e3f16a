"""Audit of denied requests."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from flask import Response

from backend.chassis.messaging.repeated_events import RepeatedEvents
from backend.chassis.settings import CommonSettings, Env
from backend.chassis.web.app_factory import create_service, verify_routes
from backend.chassis.web.audit import audit_requests
from backend.security import Permission, require_permission
from tests.servers import wait_until


class Recorder:
    def __init__(self) -> None:
        self.events = []

    def record_event(self, event):
        self.events.append(event)


def test_repeated_denials_are_recorded_together(tmp_path, identities, monkeypatch):
    monkeypatch.setattr("backend.chassis.web.audit.WINDOW_SECONDS", 0.04)
    seconds = [0.0]
    recorder = Recorder()
    common = CommonSettings.from_env(Env({"DATA_DIR": str(tmp_path)}), "admin")
    app = create_service(common, {})
    repeated = RepeatedEvents(lambda: datetime.now(UTC), lambda: seconds[0])
    audit_requests(app, recorder, repeated_denials=repeated)

    @app.get("/secrets")
    @require_permission(Permission.SYSTEM_READ)
    def show_secrets():
        return {}

    client = identities.trust(verify_routes(app)).test_client()
    headers = identities.bearer("user-ada", permissions=[])

    for _ in range(5):
        assert client.get("/secrets", headers=headers).status_code == 403
    assert [event.count for event in recorder.events] == [1]
    seconds[0] = 61.0
    wait_until(lambda: len(recorder.events) == 2)

    first, repetitions = recorder.events
    assert (first.target, repetitions.target) == ("GET /secrets", "GET /secrets")
    assert (repetitions.count, repetitions.actor_id) == (4, "user-ada")
    assert repetitions.first_at < repetitions.last_at


def test_forwarded_denial_is_passed_on_and_recorded_by_the_service_only(tmp_path, identities):
    recorder = Recorder()
    common = CommonSettings.from_env(Env({"DATA_DIR": str(tmp_path)}), "gateway")
    app = create_service(common, {})
    audit_requests(app, recorder)

    @app.get("/forwarded")
    @require_permission(Permission.RAG_READ)
    def forward():
        return Response(iter([b'{"code": "denied"}']), 403, direct_passthrough=True)

    client = identities.trust(verify_routes(app)).test_client()
    response = client.get("/forwarded", headers=identities.bearer(permissions=["rag:read"]))

    assert (response.status_code, response.data) == (403, b'{"code": "denied"}')
    assert recorder.events == []


@pytest.mark.parametrize("service", ["gateway", "admin"])
def test_services_without_tables_do_not_load_sqlalchemy(tmp_path, service):
    code = (
        f"import sys; from backend.services.{service}.app import create_app; create_app(); "
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    environment = {"DATA_DIR": str(tmp_path), "PATH": ""}

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
