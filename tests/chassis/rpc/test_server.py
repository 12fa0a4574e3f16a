"""The gRPC server: admission of calls, errors, deadlines, cancellation, limits, drain and TLS."""

import logging
import threading
import time
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from backend.chassis.deadlines import get_remaining_seconds
from backend.chassis.observability.metrics import Metrics
from backend.chassis.rpc import calls
from backend.chassis.rpc.services import RpcService
from backend.chassis.rpc.settings import RpcServerSettings, RpcTarget, TlsFiles
from backend.chassis.settings import Env, SettingsError
from backend.chassis.web.app_factory import get_component
from backend.chassis.web.audit import audit_requests
from backend.security import authenticated
from backend.security.limits import Limit
from tests.chassis.rpc.stand_ins import DESCRIPTOR, AnswerHandlers, create_services
from tests.rpc import WITHOUT_DRAIN, RpcClient, connect, run_rpc_server, to_failure
from tests.servers import wait_until
from tests.tls import certificate

SERVICE = DESCRIPTOR.full_name


def test_method_without_guard_stops_the_server_from_starting(app):
    class Unguarded(AnswerHandlers):
        def cancel_response(self, request, call):
            raise NotImplementedError

    with pytest.raises(RuntimeError, match="AiService/CancelResponse declares no guard"):
        run_rpc_server(app, create_services(Unguarded())).__enter__()


def test_method_without_handler_stops_the_server_from_starting(app):
    class Incomplete:
        @authenticated
        def list_models(self, request, call):
            raise NotImplementedError

    with pytest.raises(RuntimeError, match="AiService/GenerateResponse has no handler"):
        run_rpc_server(app, [RpcService(DESCRIPTOR, Incomplete())]).__enter__()


def test_call_without_credentials_is_unauthenticated(client):
    failure = client.fail("GenerateResponse")

    assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    assert failure.reason == "NOT_AUTHENTICATED"
    assert failure.details["ErrorInfo"].domain == "ai-agent-system"
    assert failure.details["ErrorInfo"].metadata["request_id"] == failure.request_id != ""


def test_call_without_permission_is_denied_before_the_handler_and_audited(
    app, services, handlers, identities
):
    events = []
    audit_requests(app, type("Recorder", (), {"record_event": staticmethod(events.append)})())
    handlers.answer = lambda *_: pytest.fail("The handler was called.")
    without_permissions = identities.bearer("user-bob", permissions=[])

    with run_rpc_server(app, services) as server, connect(server, services) as client:
        failure = client.fail("GenerateResponse", without_permissions)
        streamed = client.fail("StreamResponse", without_permissions)

    assert failure.code is streamed.code is grpc.StatusCode.PERMISSION_DENIED
    assert failure.reason == "PERMISSION_DENIED"
    assert [(event.action, event.target) for event in events] == [
        ("access.denied", f"POST /{SERVICE}/GenerateResponse"),
        ("access.denied", f"POST /{SERVICE}/StreamResponse"),
    ]


def test_tenant_of_the_metadata_is_selected(client, ada):
    failure = client.fail("GenerateResponse", ada | {"X-Tenant-ID": "tenant-of-another-user"})

    assert (failure.code, failure.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "NOT_A_MEMBER",
    )


def test_repeated_credentials_are_rejected(client, identities):
    token = identities.token("user-ada")
    metadata = [("authorization", f"Bearer {token}")] * 2
    method = client.channel.unary_unary(f"/{SERVICE}/ListModels")

    with pytest.raises(grpc.RpcError) as raised:
        method(b"", metadata=metadata)

    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_request_id_of_the_client_is_used_and_returned(client, handlers, ada):
    seen = []

    def answer(_request, _call):
        from backend.security.request_ids import request_id

        seen.append(request_id())
        return ""

    handlers.answer = answer
    client.call("GenerateResponse", ada | {"X-Request-ID": "req-7"})

    assert seen == ["req-7"]
    assert client.fail("GenerateResponse", {"X-Request-ID": "req-8"}).request_id == "req-8"


def test_unforeseen_error_is_internal_and_shows_nothing(client, handlers, ada, caplog):
    def answer(_request, _call):
        raise ZeroDivisionError("a secret")

    handlers.answer = answer
    failure = client.fail("GenerateResponse", ada)

    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert "secret" not in failure.message
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("method", ["GenerateResponse", "StreamResponse"])
@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7fshort"])
def test_malformed_message_is_an_invalid_argument(client, ada, method, content):
    open_call = client.channel.unary_unary if method[0] == "G" else client.channel.unary_stream
    metadata = [(name.lower(), value) for name, value in ada.items()]

    with pytest.raises(grpc.RpcError) as raised:
        list(open_call(f"/{SERVICE}/{method}")(content, metadata=metadata))

    failure = to_failure(raised.value)
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "MALFORMED_MESSAGE"


def test_callers_without_permission_learn_nothing_about_messages(client):
    with pytest.raises(grpc.RpcError) as raised:
        client.channel.unary_unary(f"/{SERVICE}/GenerateResponse")(b"\xff\xff\xff")

    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_unknown_method_is_unimplemented(client):
    with pytest.raises(grpc.RpcError) as raised:
        client.channel.unary_unary(f"/{SERVICE}/Unknown")(b"")

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_too_large_message_is_rejected(client, ada):
    failure = client.fail("GenerateResponse", ada, user_request="a" * (4 * 1024 * 1024 + 1))

    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_call_without_deadline_gets_the_default(client, handlers, ada):
    remaining = []
    handlers.answer = lambda _request, call: remaining.append(call.remaining_seconds) or ""

    client.call("GenerateResponse", ada, timeout=None)
    client.call("GenerateResponse", ada, timeout=5)

    assert 20 < remaining[0] <= 30
    assert remaining[1] < 10


def test_handler_that_waits_ends_at_the_default_deadline(client, handlers, ada, monkeypatch):
    monkeypatch.setattr(calls, "UNARY_TIMEOUT_SECONDS", 0.1)

    def answer(_request, call):
        while True:
            call.check()
            time.sleep(0.01)

    handlers.answer = answer
    failure = client.fail("GenerateResponse", ada, timeout=None)

    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert failure.reason == "DEADLINE_EXCEEDED"


def test_deadline_of_a_call_bounds_requests_to_other_services(client, handlers, ada):
    remaining = []
    handlers.answer = lambda _request, _call: remaining.append(get_remaining_seconds()) or ""

    client.call("GenerateResponse", ada, timeout=5)

    # gRPC transmits the timeout rounded up by a few milliseconds.
    assert 0 < remaining[0] < 6


def wait_in_stream(ended):
    """Return a stream that has one text, and then nothing until it is closed."""

    def stream(_request, _call):
        try:
            yield "started"
            while True:
                time.sleep(0.01)
                yield None
        finally:
            ended.set()

    return stream


def test_cancelled_stream_closes_the_handler(client, server, handlers, ada):
    ended = threading.Event()
    handlers.stream = wait_in_stream(ended)
    stream = client.call("StreamResponse", ada)
    assert next(stream).token.text == "started"

    stream.cancel()

    assert ended.wait(60)
    wait_until(lambda: server.calls.active_calls == 0)


def test_disconnected_client_closes_the_handler(server, services, handlers, ada):
    ended = threading.Event()
    handlers.stream = wait_in_stream(ended)
    with connect(server, services) as client:
        assert next(client.call("StreamResponse", ada)).token.text == "started"

    assert ended.wait(60)


def test_stream_ends_when_the_session_is_revoked(client, handlers, identities, ada, monkeypatch):
    monkeypatch.setattr(calls, "_SESSION_CHECK_SECONDS", 0.02)
    ended = threading.Event()
    handlers.stream = wait_in_stream(ended)
    stream = client.call("StreamResponse", ada)
    next(stream)

    identities.revocations.revoke_session("session-of-user-ada", 60)

    with pytest.raises(grpc.RpcError) as raised:
        next(stream)
    assert to_failure(raised.value).reason == "SESSION_ENDED"
    assert ended.is_set()


def test_reading_methods_work_during_a_short_outage_of_redis(client, identities, ada, monkeypatch):
    client.call("ListModels", ada)
    monkeypatch.setattr(type(identities.revocations), "session_status", lambda _self, _claims: None)

    client.call("ListModels", ada)
    failure = client.fail("CancelResponse", ada)

    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert failure.reason == "REVOCATIONS_UNAVAILABLE"
    assert failure.details["RetryInfo"].retry_delay.seconds == 1


def test_streams_beyond_the_limit_are_rejected(client, handlers, ada, monkeypatch):
    monkeypatch.setattr(calls, "MAX_STREAMS", 2)
    handlers.stream = wait_in_stream(threading.Event())
    streams = [client.call("StreamResponse", ada) for _ in range(2)]
    for stream in streams:
        next(stream)

    failure = client.fail("StreamResponse", ada)

    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.reason == "TOO_MANY_STREAMS"
    # Other calls have threads of their own.
    client.call("ListModels", ada)
    for stream in streams:
        stream.cancel()


def test_callers_and_addresses_have_a_rate_limit(app, services, ada):
    settings = replace(WITHOUT_DRAIN, rate_limit=Limit.parse("3/hour"))
    with run_rpc_server(app, services, settings) as server, connect(server, services) as client:
        for _ in range(3):
            client.call("ListModels", ada)
        failure = client.fail("ListModels", ada)

    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.reason == "RATE_LIMITED"
    assert failure.details["RetryInfo"].retry_delay.seconds > 0


def test_health_is_reported_for_each_service(client):
    stub = health_pb2_grpc.HealthStub(client.channel)

    for name in ("", SERVICE):
        response = stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(health_pb2.HealthCheckRequest(service="unknown"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services_outside_production(app, services, client):
    def list_services(channel):
        request = reflection_pb2.ServerReflectionRequest(list_services="*")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (response,) = stub.ServerReflectionInfo(iter([request]))
        return {item.name for item in response.list_services_response.service}

    assert SERVICE in list_services(client.channel)
    settings = replace(WITHOUT_DRAIN, reflection=False)
    with (
        run_rpc_server(app_without_metrics(app), services, settings) as server,
        connect(server, services) as hidden,
        pytest.raises(grpc.RpcError) as raised,
    ):
        list_services(hidden.channel)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def app_without_metrics(app):
    """Return *app* with an empty registry, so that a second server can register its metrics."""
    from backend.chassis.web.app_factory import provide

    provide(app, Metrics())
    return app


def test_calls_are_counted_and_logged_without_payloads(app, client, ada, caplog):
    caplog.set_level(logging.INFO, "access")

    client.call("GenerateResponse", ada, user_request="a private question")
    client.fail("GenerateResponse")

    text = get_component(app, Metrics).render_text().decode()
    labels = f'rpc_grpc_status="OK",rpc_method="GenerateResponse",rpc_service="{SERVICE}"'
    assert f"rpc_server_call_duration_seconds_count{{{labels}}} 1.0" in text
    assert 'rpc_server_problems_total{code="not_authenticated"} 1.0' in text
    assert 'rpc_server_active_calls{kind="unary"} 0.0' in text
    lines = [record.fields for record in caplog.records if record.name == "access"]
    assert [line["grpc_status"] for line in lines] == ["OK", "UNAUTHENTICATED"]
    assert {line["path"] for line in lines} == {f"/{SERVICE}/GenerateResponse"}
    assert "private" not in caplog.text


def test_drain_completes_calls_in_progress_and_ends_endless_streams(app, services, handlers, ada):
    started, release = threading.Event(), threading.Event()

    def answer(_request, _call):
        started.set()
        release.wait(10)
        return "complete"

    def stream(_request, call):
        yield "started"
        while True:
            call.check_drain()
            time.sleep(0.01)
            yield None

    handlers.answer, handlers.stream = answer, stream
    settings = RpcServerSettings(drain=timedelta(seconds=10))
    with run_rpc_server(app, services, settings) as server, connect(server, services) as client:
        watch = health_pb2_grpc.HealthStub(client.channel).Watch(
            health_pb2.HealthCheckRequest(service=SERVICE)
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        endless = client.call("StreamResponse", ada)
        next(endless)
        results = []
        waiting = threading.Thread(
            target=lambda: results.append(client.call("GenerateResponse", ada).response)
        )
        waiting.start()
        assert started.wait(60)
        stopping = threading.Thread(target=server.stop)
        stopping.start()

        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as raised:
            next(endless)
        assert to_failure(raised.value).reason == "SERVER_DRAINING"
        release.set()
        waiting.join(60)
        stopping.join(60)

    assert results == ["complete"]


def test_calls_longer_than_the_drain_are_cancelled(app, services, handlers, ada):
    ended = threading.Event()
    handlers.stream = wait_in_stream(ended)
    settings = RpcServerSettings(drain=timedelta(seconds=0.2))
    with run_rpc_server(app, services, settings) as server, connect(server, services) as client:
        stream = client.call("StreamResponse", ada)
        next(stream)
        server.stop()

        with pytest.raises(grpc.RpcError):
            list(stream)
    assert ended.wait(60)


def test_tls_server_accepts_clients_of_its_authority_only(app, services, ada, tmp_path):
    file = certificate(tmp_path)
    key = file.with_name("server.key")
    settings = replace(WITHOUT_DRAIN, tls=TlsFiles(file, key, peer_authority=file))
    with run_rpc_server(app, services, settings) as server:
        trusted = grpc.ssl_channel_credentials(
            file.read_bytes(), key.read_bytes(), file.read_bytes()
        )
        without_certificate = grpc.ssl_channel_credentials(file.read_bytes())
        address = f"localhost:{server.port}"
        with grpc.secure_channel(address, trusted) as channel:
            assert RpcClient(channel, services).call("ListModels", ada) is not None
        with grpc.secure_channel(address, without_certificate) as channel:
            failure = RpcClient(channel, services).fail("ListModels", ada)
            assert failure.code is grpc.StatusCode.UNAVAILABLE
        with connect(server, services) as client:
            assert client.fail("ListModels", ada).code is grpc.StatusCode.UNAVAILABLE


def test_port_in_use_is_reported(server, app, services):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = replace(WITHOUT_DRAIN, port=listener.getsockname()[1])
        with pytest.raises(OSError, match="cannot be bound"):
            run_rpc_server(app_without_metrics(app), services, settings).__enter__()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"HOST": "192.0.2.1"}, "GRPC_CERTFILE"),
        ({"GRPC_CERTFILE": "FILE"}, "both GRPC_CERTFILE and GRPC_KEYFILE"),
        ({"GRPC_CERTFILE": "/no/file", "GRPC_KEYFILE": "FILE"}, "cannot be read"),
        ({"GRPC_CLIENT_CA": "FILE"}, "needs GRPC_CERTFILE"),
        ({"GRPC_RATE_LIMIT": "many"}, "GRPC_RATE_LIMIT"),
    ],
)
def test_invalid_settings_are_explained(tmp_path, variables, message):
    file = tmp_path / "file"
    file.touch()
    values = {name: value.replace("FILE", str(file)) for name, value in variables.items()}

    with pytest.raises(SettingsError, match=message):
        RpcServerSettings.from_env(Env(values), "auth")


def test_settings_have_the_port_of_the_service():
    assert RpcServerSettings.from_env(Env({}), "auth").port == 50052
    assert RpcServerSettings.from_env(Env({"AGENT_GRPC_PORT": "7000"}), "agent").port == 7000
    production = Env({"APP_ENV": "production"})
    assert RpcServerSettings.from_env(production, "auth").reflection is False


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://auth-rpc:50052", RpcTarget("dns:///auth-rpc:50052")),
        ("auth-rpc:50052", RpcTarget("dns:///auth-rpc:50052")),
        ("https://auth-rpc:50052/", RpcTarget("dns:///auth-rpc:50052", uses_tls=True)),
        ("http://[::1]:1", RpcTarget("dns:///[::1]:1")),
        ("http://127.0.0.1:1, http://127.0.0.1:2", RpcTarget("ipv4:127.0.0.1:1,127.0.0.1:2")),
    ],
)
def test_urls_become_targets(text, target):
    assert RpcTarget.parse(text) == target


@pytest.mark.parametrize(
    "text", ["", "http://host", "ftp://host:1", "http://a:1,http://b:2", "http://a:1,https://a:2"]
)
def test_invalid_urls_are_rejected(text):
    with pytest.raises(ValueError, match="URL"):
        RpcTarget.parse(text)
