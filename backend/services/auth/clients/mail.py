"""Mail senders: SMTP, or a folder of message files for development."""

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
_MIN_PERMANENT_CODE = 500


class MailNotSent(Exception):
    """The mail was not sent because of a temporary failure; a retry may succeed."""


class MailUndeliverable(Exception):
    """The server rejects the mail permanently; a retry is useless."""


class MailSender(Protocol):
    """Sends plain-text mails."""

    def send_mail(self, recipient: str, subject: str, text: str) -> None:
        """Send one message.

        Raises:
            MailNotSent: a temporary failure.
            MailUndeliverable: a permanent failure.
        """


class SmtpMailSender:
    """Send mails through the server at an SMTP URL.

    `smtp://user:password@host:port` uses STARTTLS if the server offers it, `smtps://…` uses
    implicit TLS.
    """

    def __init__(self, url: str, sender: str) -> None:
        """Parse *url*. Raises ValueError if it is not an SMTP URL with a host."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("it must be smtp://… or smtps://… with a host")
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if self._tls else 587 if parts.username else 25)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = sender

    def send_mail(self, recipient: str, subject: str, text: str) -> None:
        message = _build_message(self._sender, recipient, subject, text)
        try:
            with self._connect() as server:
                server.send_message(message)
        except smtplib.SMTPNotSupportedError as error:
            raise MailUndeliverable(str(error)) from error
        except smtplib.SMTPRecipientsRefused as error:
            if all(code >= _MIN_PERMANENT_CODE for code, _ in error.recipients.values()):
                raise MailUndeliverable("the server rejected the recipient") from error
            raise MailNotSent("the server deferred the recipient") from error
        except (OSError, smtplib.SMTPException) as error:
            raise MailNotSent(type(error).__name__) from error

    def _connect(self) -> smtplib.SMTP:
        tls_context = ssl.create_default_context()
        if self._tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=tls_context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            self._start_session(server, tls_context)
        except BaseException:
            server.close()
            raise
        return server

    def _start_session(self, server: smtplib.SMTP, tls_context: ssl.SSLContext) -> None:
        server.ehlo()
        if not self._tls and server.has_extn("starttls"):
            server.starttls(context=tls_context)
            server.ehlo()
        elif self._user and not self._tls:
            raise MailNotSent("the server offers no TLS, and a password is not sent in the clear")
        if self._user:
            server.login(self._user, self._password)


class FolderMailSender:
    """Write each mail to an `.eml` file in a folder instead of sending it (development)."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    def send_mail(self, recipient: str, subject: str, text: str) -> None:
        message = _build_message(self._sender, recipient, subject, text)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = uuid4().hex
        draft = self._folder / f".{name}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())
        draft.rename(self._folder / f"{name}.eml")


def _build_message(sender: str, recipient: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid()
    message.set_content(text)
    return message
