"""Mail leaves here: through SMTP, or into a folder where a developer reads it."""

import os
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

_TIMEOUT_SECONDS = 15
_PERMANENT = 500


class NotSent(Exception):
    """The mail did not leave; trying again later may help."""


class Undeliverable(Exception):
    """The mail will never arrive: the server refuses whom it is for."""


class Mail(Protocol):
    """Whatever carries a message."""

    def send(self, recipient: str, subject: str, text: str) -> None:
        """Send one message; NotSent or Undeliverable if it can't be."""


class Smtp:
    """A mail server: `smtp://user:password@host:port`, or `smtps://…` for TLS from the start."""

    def __init__(self, url: str, sender: str) -> None:
        """Raise ValueError where *url* names no mail server."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("it must be smtp://… or smtps://… with a host")
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if self._tls else 587 if parts.username else 25)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = sender

    def send(self, recipient: str, subject: str, text: str) -> None:
        message = _message(self._sender, recipient, subject, text)
        try:
            with self._connected() as server:
                server.send_message(message)
        except smtplib.SMTPNotSupportedError as error:
            raise Undeliverable(str(error)) from error
        except smtplib.SMTPRecipientsRefused as error:
            if all(code >= _PERMANENT for code, _ in error.recipients.values()):
                raise Undeliverable("the recipient was refused") from error
            raise NotSent("the recipient was put off") from error
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(type(error).__name__) from error

    def _connected(self) -> smtplib.SMTP:
        trust = ssl.create_default_context()
        if self._tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=trust
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            self._greet(server, trust)
        except BaseException:
            server.close()
            raise
        return server

    def _greet(self, server: smtplib.SMTP, trust: ssl.SSLContext) -> None:
        server.ehlo()
        if not self._tls and server.has_extn("starttls"):
            server.starttls(context=trust)
            server.ehlo()
        elif self._user and not self._tls:
            raise NotSent("the server offers no TLS, and a password is not sent in the clear")
        if self._user:
            server.login(self._user, self._password)


class MailFolder:
    """A folder of messages that nobody sends: for development."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    def send(self, recipient: str, subject: str, text: str) -> None:
        message = _message(self._sender, recipient, subject, text)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = uuid4().hex
        draft = self._folder / f".{name}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(message.as_bytes())
        draft.rename(self._folder / f"{name}.eml")


def _message(sender: str, recipient: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid()
    message.set_content(text)
    return message
