"""Mail sender against a local SMTP server."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from backend.services.auth.app import create_app
from backend.services.auth.clients.mail import MailNotSent, MailUndeliverable, SmtpMailSender
from tests.servers import free_port, wait_until
from tests.services.auth.api_user import ApiUser


class SmtpHandler(socketserver.StreamRequestHandler):
    """The part of RFC 5321 that a client without extensions uses."""

    def handle(self) -> None:
        mail_server: MailServer = self.server.mail_server
        self._reply("220 ready")
        while line := self.rfile.readline().decode().strip():
            command = line.split()[0].upper()
            if command == "RCPT" and mail_server.recipient_error:
                self._reply(mail_server.recipient_error)
            elif command == "DATA":
                self._reply("354 send the message")
                lines = iter(self.rfile.readline, b".\r\n")
                mail_server.received.append(b"".join(lines).decode())
                self._reply("250 accepted")
            elif command == "QUIT":
                self._reply("221 closing")
                return
            else:
                self._reply("250 ok")

    def _reply(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@dataclass
class MailServer:
    """A running mail server: received messages, and its reply to RCPT if not accepted."""

    port: int
    recipient_error: str = ""
    received: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


@pytest.fixture
def start_mail_server() -> Iterator[Callable[[int], MailServer]]:
    servers = []

    def start(port: int = 0) -> MailServer:
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        server = socketserver.ThreadingTCPServer(("127.0.0.1", port), SmtpHandler)
        server.daemon_threads = True
        server.mail_server = MailServer(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server.mail_server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_mail_is_delivered(start_mail_server):
    mail_server = start_mail_server()

    SmtpMailSender(mail_server.url, "Agent <agent@example.org>").send_mail(
        "ada@example.org", "Hello", "What a day."
    )

    (message,) = mail_server.received
    assert "From: Agent <agent@example.org>" in message
    assert "To: ada@example.org" in message
    assert "What a day." in message


@pytest.mark.parametrize(
    ("recipient_error", "error"),
    [("550 unknown recipient", MailUndeliverable), ("450 try later", MailNotSent)],
)
def test_rejected_recipient_raises_permanent_or_temporary_error(
    start_mail_server, recipient_error, error
):
    mail_server = start_mail_server()
    mail_server.recipient_error = recipient_error

    with pytest.raises(error):
        SmtpMailSender(mail_server.url, "agent@example.org").send_mail(
            "ada@example.org", "Hello", "What a day."
        )


def test_password_is_not_sent_without_tls(start_mail_server):
    url = f"smtp://agent:secret@127.0.0.1:{start_mail_server().port}"

    with pytest.raises(MailNotSent, match="TLS"):
        SmtpMailSender(url, "agent@example.org").send_mail(
            "ada@example.org", "Hello", "What a day."
        )


@pytest.mark.parametrize("url", ["mail.example.org", "http://mail.example.org", "smtp://"])
def test_sender_rejects_url_that_is_not_smtp(url):
    with pytest.raises(ValueError, match="smtp"):
        SmtpMailSender(url, "agent@example.org")


def test_mail_is_sent_after_restart_when_the_server_was_unreachable(
    make_settings, clock, start_mail_server
):
    port = free_port()
    settings = make_settings(SMTP_URL=f"smtp://127.0.0.1:{port}")
    client = create_app(settings, clock.now).test_client()
    ApiUser.register(client, "ada", email="ada@example.org")

    assert client.post("/password/forgot", json={"username": "ada"}).status_code == 202
    mail_server = start_mail_server(port)
    clock.advance(minutes=11)
    restarted = create_app(settings, clock.now).test_client()
    restarted.get("/health")

    wait_until(lambda: mail_server.received)
    assert "prt_" in mail_server.received[0]
