"""HTTP/1.1 conformance: the cases of Http11Probe and additional raw requests."""

import json
from pathlib import Path

import pytest

from tests.services.gateway.data_paths import RawClient, RunningEdge

CASES = json.loads((Path(__file__).parents[3] / "data" / "http11probe.json").read_text())

# Cases without an expectation in the data file, because RFC 9112 allows several responses: the
# range of statuses that the gateway returns, and True if it closes the connection.
OWN_EXPECTATIONS = {
    "RFC9112-2.2-BARE-LF-HEADER": ((400, 400), True),
    "RFC9112-3.2-FRAGMENT-IN-TARGET": ((400, 400), False),
    "COMP-UNKNOWN-TE-501": ((501, 501), True),
    "COMP-LEADING-CRLF": ((200, 200), False),
    "COMP-ABSOLUTE-FORM": ((200, 200), False),
    "COMP-METHOD-CASE": ((501, 501), True),
    "COMP-POST-CL-BODY": ((200, 200), False),
    "COMP-CHUNKED-MULTI": ((200, 200), False),
    "COMP-CHUNKED-NO-FINAL": (None, False),
    "COMP-UPGRADE-UNKNOWN": ((200, 200), False),
    "COMP-EXPECT-UNKNOWN": ((417, 417), True),
    "COMP-METHOD-TRACE": ((405, 405), True),
    "COMP-REQUEST-LINE-TAB": ((400, 400), True),
    "COMP-TRACE-WITH-BODY": ((405, 405), True),
    "COMP-CHUNKED-HEX-UPPERCASE": ((200, 200), False),
    "COMP-UNKNOWN-METHOD": ((501, 501), True),
    "COMP-405-ALLOW": ((405, 405), False),
    "COMP-NO-1XX-HTTP10": ((200, 200), True),
    "COMP-OPTIONS-ALLOW": ((200, 200), False),
    "COMP-RANGE-INVALID": ((200, 200), False),
    "COMP-ACCEPT-NONSENSE": ((200, 200), False),
    "SMUG-CL-LEADING-ZEROS": ((400, 400), True),
    "SMUG-CL-TRAILING-SPACE": ((200, 200), False),
    "SMUG-TE-LEADING-COMMA": ((400, 400), True),
    "SMUG-TE-IDENTITY": ((400, 400), True),
    "SMUG-CHUNKED-WITH-PARAMS": ((400, 400), True),
    "SMUG-EXPECT-100-CL": ((200, 200), False),
    "SMUG-TRAILER-TE": ((200, 200), False),
    "SMUG-OPTIONS-CL-BODY": ((200, 200), False),
    "SMUG-TE-OBS-FOLD": ((400, 400), True),
    "SMUG-TE-TRAILING-COMMA": ((400, 400), True),
    "SMUG-TE-TAB-BEFORE-VALUE": ((400, 400), True),
    "SMUG-TRAILER-CONTENT-TYPE": ((200, 200), False),
    "MAL-INCOMPLETE-REQUEST": (None, False),
    "MAL-CL-TAB-BEFORE-VALUE": ((200, 200), False),
    "MAL-URL-BACKSLASH": ((400, 400), False),
    "MAL-URL-PERCENT-CRLF": ((400, 400), False),
    "MAL-POST-CL-HUGE-NO-BODY": ((413, 413), True),
    "NORM-UNDERSCORE-CL": ((404, 404), False),
    "NORM-TAB-IN-NAME": ((400, 400), True),
}  # fmt: skip


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    from flask import Flask

    from backend.chassis.catalog import CATALOG
    from backend.chassis.settings import Env
    from backend.security.authentication import get_security_context
    from backend.security.limits import Limiter
    from backend.services.gateway.app import create_app
    from backend.services.gateway.settings import Settings
    from tests.identities import Identities
    from tests.servers import free_port

    nothing = f"http://127.0.0.1:{free_port()}"
    urls = {entry.url_variable: nothing for entry in CATALOG if not entry.is_gateway}
    settings = Settings.from_env(Env({"DATA_DIR": str(tmp_path_factory.mktemp("data")), **urls}))
    security = get_security_context(Identities().trust(Flask("trusting")))
    with RunningEdge(create_app(settings, security, Limiter(None))) as edge:
        yield edge.port


def get_expectation(case):
    if case["expect"] is not None:
        return tuple(case["expect"]), case["close"]
    return OWN_EXPECTATIONS[case["id"]]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_http11probe_case_gets_the_expected_response(port, case):
    payload = case["payload"].replace("@HOST@", f"127.0.0.1:{port}").encode("latin-1")
    expected, closes = get_expectation(case)
    with RawClient(port, timeout=2 if expected else 0.3) as client:
        client.send(payload)
        if expected is None:
            with pytest.raises(TimeoutError):
                client.read_response()
            return
        response = client.read_response("GET")
        assert expected[0] <= response.status <= expected[1]
        if response.status == 405 or case["id"] == "COMP-OPTIONS-ALLOW":
            assert "GET" in response.headers["allow"]
        # After a successful response the connection may stay open, even if the case allows closing.
        if closes and (response.status >= 400 or case["expect"] is None):
            assert client.is_closed()


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["expect"]], ids=lambda case: case["id"]
)
def test_http11probe_case_gets_the_same_response_byte_by_byte(port, case):
    payload = case["payload"].replace("@HOST@", f"127.0.0.1:{port}").encode("latin-1")
    with RawClient(port) as client:
        for byte in payload:
            try:
                client.send(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break  # rejected before its end, which is also correct
        response = client.read_response("GET")
    assert case["expect"][0] <= response.status <= case["expect"][1]


def send_raw(port, data, method="GET"):
    with RawClient(port) as client:
        client.send(data)
        return client.read_response(method).status


HOST = b"Host: gateway.example\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, id="space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, id="Host twice"),
        pytest.param(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, id="empty Host"),
        pytest.param(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, id="space before the first line"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n\tc\r\n\r\n", 400, id="folded line"),
        pytest.param(b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 505, id="unknown version"),
        pytest.param(b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, id="HTTP/2.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="HTTP/2 preface"),
        pytest.param(b"GET /\r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/1.1\n" + b"Host: a\n\n", 400, id="bare line feeds"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 400, id="TLS"),
        pytest.param(b"\x00\x01\x02\x03", 400, id="binary"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"A: \xc3\xa9\r\n\r\n", 200, id="obs-text"),
        pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="é in the path"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"A\xc3: b\r\n\r\n", 400, id="é in a name"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, id="long"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 40000 + b"\r\n\r\n", 431, id="large"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 200 + b"\r\n", 431, id="many headers"
        ),
        pytest.param(b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n", 405, id="CONNECT"),
        pytest.param(b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="asterisk form with GET"),
        pytest.param(b"G\x00T / HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="NUL in the method"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", 200, id="HTTP/1.0 without Host"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 200, id="lower-case header name"),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n0\r\n\r\n", 400, id="CL.TE"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5"
            b"\r\n\r\n0\r\n\r\n", 400, id="TE.CL"
        ),
        pytest.param(
            b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400, id="chunked in HTTP/1.0"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer_Encoding: chunked\r\nContent-Length: 1"
            b"\r\n\r\nx",
            200, id="underscore in Transfer_Encoding"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            400, id="space before the colon of Transfer-Encoding"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
            400, id="bare line feeds in chunks"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld",
            400, id="chunk longer than its size"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
            400, id="Content-Length over 64 bits"
        ),
    ],
)  # fmt: skip
def test_raw_request_gets_the_expected_status(port, data, status):
    assert send_raw(port, data) == status


def test_pipelined_requests_are_answered_in_order(port):
    with RawClient(port) as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: one\r\n\r\n"
            b"POST / HTTP/1.1\r\nHost: a\r\nX-Request-ID: two\r\nContent-Length: 3\r\n\r\nabc"
            b"GET /nope HTTP/1.1\r\nHost: a\r\nX-Request-ID: three\r\n\r\n"
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\nX-Request-ID: four\r\n\r\n"
        )
        ids = [client.read_response().headers["x-request-id"] for _ in range(4)]

    assert ids == ["one", "two", "three", "four"]


def test_requests_after_an_invalid_one_are_not_answered(port):
    with RawClient(port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_response().status == 400
        assert client.is_closed()


def test_100_continue_is_sent_before_the_body(port):
    with RawClient(port) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.read_head()[0] == 100
        client.send(b"hello")
        assert client.read_response().status == 200


def test_100_continue_is_not_sent_for_a_rejected_request(port):
    with RawClient(port) as client:
        client.send(
            b"POST /rag/documents HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert client.read_head()[0] == 401
