"""Unidirectional WebSockets and event streams."""

import http.client
import json

import pytest

TENANT = "tenant-of-user-ada"


class EventReader:
    """Reads an event stream."""

    def __init__(self, realtime, path, token, last_event_id=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", realtime.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.response.close()
        self.connection.close()

    def read_event(self):
        """Return the fields of the next event; comments are skipped."""
        fields = {}
        while True:
            line = self.response.readline().decode().rstrip("\n")
            if not line and fields:
                return fields
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value

    def read_data(self):
        return json.loads(self.read_event()["data"])["pub"]["data"]


def test_unidirectional_socket_is_subscribed_from_the_start(realtime, token):
    header = {"Authorization": f"Bearer {token}"}
    with realtime.connect("/ws/packages", additional_headers=header) as client:
        connect = client.receive()["connect"]
        assert connect["subs"]["packages"]["offset"] == 0
        realtime.publish(TENANT, "packages", {"n": 1})
        assert client.receive() == {"channel": "packages", "pub": {"data": {"n": 1}, "offset": 1}}


def test_unidirectional_socket_resumes_after_a_position(realtime, token):
    position = realtime.publish(TENANT, "packages", {"n": 1})
    realtime.publish(TENANT, "packages", {"n": 2})
    header = {"Authorization": f"Bearer {token}"}
    path = f"/ws/packages?since={position}"
    with realtime.connect(path, additional_headers=header) as client:
        assert client.receive()["connect"]["subs"]["packages"]["recovered"] is True
        assert client.receive_data() == {"n": 2}
    path = "/ws/packages?since=other:1"
    with realtime.connect(path, additional_headers=header) as client:
        assert client.receive()["connect"]["subs"]["packages"]["recovered"] is False


def test_package_id_narrows_the_topic(realtime, token):
    header = {"Authorization": f"Bearer {token}"}
    with realtime.connect("/ws/packages?package_id=p1", additional_headers=header) as client:
        client.receive()
        realtime.publish(TENANT, "packages:p2", {"n": 1})
        realtime.publish(TENANT, "packages:p1", {"n": 2})
        assert client.receive_data() == {"n": 2}


def test_stream_can_be_joined_while_missed_publications_are_read(realtime, token):
    with EventReader(realtime, "/sse/packages", token) as first:
        realtime.call(realtime.server.hub.connection_lost)
        realtime.publish(TENANT, "packages", {"n": 1})
        with EventReader(realtime, "/sse/packages", token) as second:
            assert second.response.status == 200
            realtime.publish(TENANT, "packages", {"n": 2})
            realtime.call(realtime.server.create_task, realtime.server.hub.recover())
            realtime.publish(TENANT, "packages", {"n": 3})
            assert [first.read_data() for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]
            assert [second.read_data() for _ in range(2)] == [{"n": 2}, {"n": 3}]


def test_unidirectional_socket_answers_ping_frames(start, token):
    realtime = start(limits={"ping_seconds": 1})
    header = {"Authorization": f"Bearer {token}"}
    with realtime.connect("/ws/packages", additional_headers=header) as client:
        client.receive()
        assert [client.receive() for _ in range(3)] == [{}, {}, {}]


@pytest.mark.parametrize("since", ["x", "a:b", "a:-1", "a:01", "a:" + "9" * 40, "é:1"])
def test_malformed_position_is_rejected(realtime, token, since):
    connection = http.client.HTTPConnection("127.0.0.1", realtime.port, timeout=30)
    from urllib.parse import quote

    headers = {"Authorization": f"Bearer {token}"}
    connection.request("GET", f"/sse/packages?since={quote(since)}", headers=headers)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (422, "invalid_position")
    connection.close()


def test_event_stream_delivers_and_resumes(realtime, token):
    with EventReader(realtime, "/sse/packages", token) as reader:
        assert reader.response.headers["Content-Type"] == "text/event-stream"
        position = realtime.publish(TENANT, "packages", {"n": 1})
        event = reader.read_event()
        assert json.loads(event["data"]) == {
            "channel": "packages",
            "pub": {"data": {"n": 1}, "offset": 1},
        }
        assert event["id"] == str(position)
    realtime.publish(TENANT, "packages", {"n": 2})
    with EventReader(realtime, "/sse/packages", token, event["id"]) as reader:
        assert reader.read_data() == {"n": 2}


def test_event_stream_reports_that_it_cannot_resume(realtime, token):
    with EventReader(realtime, "/sse/packages", token, "other:5") as reader:
        assert reader.read_event()["event"] == "lost"
        realtime.publish(TENANT, "packages", {"n": 1})
        assert reader.read_data() == {"n": 1}


def test_event_stream_of_several_topics_resumes_each(realtime, token):
    with EventReader(realtime, "/sse?topics=packages,map", token) as reader:
        realtime.publish(TENANT, "packages", {"n": 1})
        realtime.publish(TENANT, "map", {"n": 2}, key="p1")
        first, second = reader.read_event(), reader.read_event()
        assert first["id"] != second["id"]
    realtime.publish(TENANT, "packages", {"n": 3})
    realtime.publish(TENANT, "map", {"n": 4}, key="p1")
    with EventReader(realtime, "/sse?topics=packages,map", token, first["id"]) as reader:
        numbers = [reader.read_data()["n"] for _ in range(2)]
        assert numbers == [3, 4]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/sse/unknown", 404, "unknown_topic"),
        ("/sse/system", 403, "permission_denied"),
        ("/sse", 422, "invalid_topics"),
        ("/sse?topics=,", 422, "invalid_topics"),
        ("/sse?topics=packages,packages", 422, "invalid_topics"),
        ("/sse?topics=" + ",".join(f"packages:p{n}" for n in range(9)), 422, "invalid_topics"),
        ("/sse?topics=packages,unknown", 404, "unknown_topic"),
    ],
)
def test_event_stream_is_rejected(realtime, token, path, status, code):
    with EventReader(realtime, path, token) as reader:
        assert (reader.response.status, json.loads(reader.response.read())["code"]) == (
            status,
            code,
        )


@pytest.mark.parametrize("last", ["!", "e30=x", "W10=", "eyJhIjoxfQ=="])
def test_malformed_position_of_several_topics_is_rejected(realtime, token, last):
    with EventReader(realtime, "/sse?topics=packages,map", token, last) as reader:
        assert reader.response.status == 422


def test_event_stream_sends_comments(realtime, token, monkeypatch):
    monkeypatch.setattr("backend.services.realtime.edge.event_streams.HEARTBEAT_SECONDS", 0.1)
    with EventReader(realtime, "/sse/packages", token) as reader:
        assert reader.response.readline() == b": keep-alive\n"


def test_disconnected_event_stream_is_forgotten(realtime, token):
    from tests.servers import wait_until

    with EventReader(realtime, "/sse/packages", token):
        assert realtime.call(lambda: len(realtime.server.hub.streams)) == 1
    wait_until(lambda: realtime.call(lambda: len(realtime.server.event_streams)) == 0)
    assert realtime.call(lambda: len(realtime.server.hub.streams)) == 0
