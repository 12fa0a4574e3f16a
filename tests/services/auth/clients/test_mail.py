"""Mail through a server that speaks SMTP."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from backend.services.auth.app import create_app
from backend.services.auth.clients.mail import NotSent, Smtp, Undeliverable
from tests.servers import free_port, wait_until
from tests.services.auth.people import Person


class Conversation(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client without extensions needs."""

    def handle(self) -> None:
        post: PostOffice = self.server.post
        self._say("220 post")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "RCPT" and post.refusal:
                self._say(post.refusal)
            elif word == "DATA":
                self._say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                post.received.append(b"".join(lines).decode())
                self._say("250 taken")
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@dataclass
class PostOffice:
    """What arrived at the mail server, and whether it refuses whom mails are for."""

    port: int
    refusal: str = ""
    received: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


@pytest.fixture
def open_post() -> Iterator[Callable[[int], PostOffice]]:
    servers = []

    def start(port: int = 0) -> PostOffice:
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Conversation)
        server.daemon_threads = True
        server.post = PostOffice(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server.post

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_message_arrives(open_post):
    post = open_post()

    Smtp(post.url, "Agent <agent@example.org>").send("ada@example.org", "Hello", "What a day.")

    (message,) = post.received
    assert "From: Agent <agent@example.org>" in message
    assert "To: ada@example.org" in message
    assert "What a day." in message


@pytest.mark.parametrize(
    ("refusal", "error"), [("550 nobody here", Undeliverable), ("450 later", NotSent)]
)
def test_a_refused_recipient_is_final_or_not(open_post, refusal, error):
    post = open_post()
    post.refusal = refusal

    with pytest.raises(error):
        Smtp(post.url, "agent@example.org").send("ada@example.org", "Hello", "What a day.")


def test_a_password_is_not_sent_in_the_clear(open_post):
    url = f"smtp://agent:secret@127.0.0.1:{open_post().port}"

    with pytest.raises(NotSent, match="TLS"):
        Smtp(url, "agent@example.org").send("ada@example.org", "Hello", "What a day.")


@pytest.mark.parametrize("url", ["mail.example.org", "http://mail.example.org", "smtp://"])
def test_what_names_no_mail_server_is_refused(url):
    with pytest.raises(ValueError, match="smtp"):
        Smtp(url, "agent@example.org")


def test_a_mail_waits_for_a_server_that_is_away_across_a_restart(make_settings, clock, open_post):
    port = free_port()
    settings = make_settings(SMTP_URL=f"smtp://127.0.0.1:{port}")
    client = create_app(settings, clock.now).test_client()
    Person.register(client, "ada", email="ada@example.org")

    assert client.post("/password/forgot", json={"username": "ada"}).status_code == 202
    post = open_post(port)
    clock.pass_by(minutes=11)
    restarted = create_app(settings, clock.now).test_client()
    restarted.get("/health")

    wait_until(lambda: post.received)
    assert "prt_" in post.received[0]
