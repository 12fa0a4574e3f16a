"""Socket.IO with an unmodified client."""

import json

import pytest
import socketio
from socketio.exceptions import ConnectionError as NotConnected

from tests.servers import wait_until

TENANT = "tenant-of-user-ada"


class Receiver:
    """A Socket.IO client that stores what it receives."""

    def __init__(self, realtime, token):
        self.publications = []
        self.lost = []
        self.client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2)
        self.client.on("publication", lambda *arguments: self.publications.append(arguments))
        self.client.on("lost", self.lost.append)
        self.client.connect(
            f"http://127.0.0.1:{realtime.port}",
            transports=["websocket"],
            auth={"token": token},
            wait_timeout=30,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()

    def call(self, event, *arguments):
        return self.client.call(event, arguments if len(arguments) > 1 else arguments[0])


def test_client_subscribes_and_receives(realtime, token):
    with Receiver(realtime, token) as receiver:
        assert receiver.call("subscribe", "packages")["offset"] == 0
        position = realtime.publish(TENANT, "packages", {"n": 1})
        wait_until(lambda: receiver.publications)
        assert receiver.publications == [
            ("packages", {"n": 1}, {"epoch": position.epoch, "offset": 1})
        ]
        assert receiver.call("unsubscribe", "packages") == {}


def test_client_resumes_after_a_position(realtime, token):
    first = realtime.publish(TENANT, "packages", {"n": 1})
    realtime.publish(TENANT, "packages", {"n": 2})
    with Receiver(realtime, token) as receiver:
        since = {"epoch": first.epoch, "offset": first.offset}
        assert receiver.call("subscribe", "packages", since)["recovered"] is True
        wait_until(lambda: receiver.publications)
        assert [arguments[1] for arguments in receiver.publications] == [{"n": 2}]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("subscribe", "unknown"), 102),
        (("subscribe", "system"), 103),
        (("subscribe", "packages", {"epoch": 1}), 107),
        (("subscribe", 5), 107),
        (("publish", "packages"), 104),
    ],
)
def test_event_is_acknowledged_with_an_error(realtime, token, arguments, code):
    with Receiver(realtime, token) as receiver:
        assert receiver.call(*arguments)["error"]["code"] == code


def test_invalid_token_is_rejected(realtime):
    with pytest.raises(NotConnected):
        Receiver(realtime, "x.y.z")


def test_client_answers_pings(start, token):
    # The client has to answer within the interval, also on a busy machine.
    realtime = start(limits={"ping_seconds": 3})
    with Receiver(realtime, token) as receiver:
        receiver.client.sleep(7)
        assert "offset" in receiver.call("subscribe", "user")
        assert receiver.client.connected
        assert not realtime.server.closes


@pytest.mark.parametrize(
    "packet",
    ["5", "42", "42{}", "42[" + "[" * 60_000, "4", "x", "40[]", '42["x",' + "9" * 5_000 + "]"],
)
def test_malformed_packet_closes_the_connection(realtime, token, packet):
    with realtime.connect("/socket.io/?EIO=4&transport=websocket") as client:
        assert client.socket.recv(30).startswith("0{")
        client.socket.send("40" + json.dumps({"token": token}))
        assert client.socket.recv(30).startswith("40{")
        client.socket.send(packet)
        assert client.read_close()[0] == 3501


def test_other_namespaces_are_rejected(realtime, token):
    with realtime.connect("/socket.io/?EIO=4&transport=websocket") as client:
        client.socket.recv(30)
        client.socket.send("40/admin," + json.dumps({"token": token}))
        assert client.socket.recv(30) == '44/admin,{"message":"Invalid namespace"}'
