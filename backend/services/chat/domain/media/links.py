"""Signed links to stored files, for providers and contacts, who cannot sign in."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from backend.chassis.data_encryption.files import SealedReader
from backend.chassis.database.sessions import Database
from backend.security.base64url import encode_base64url
from backend.security.key_derivation import derive_key
from backend.services.chat.errors import ResourceNotFound
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.attachments import find_stored_attachment

FETCH_LIFETIME: Final = timedelta(hours=1)
"""For providers, which fetch a file when they send it."""
READ_LIFETIME: Final = timedelta(days=3)
"""For links in texts, which a person opens later."""
_SIGNATURE_BYTES: Final = 24
_MAX_TOKEN: Final = 120


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """The file of a valid link."""

    source: Path | SealedReader
    mime: str
    name: str
    version: str


class MediaLinks:
    """Makes links that are valid for a time, and finds their files.

    Args:
        secret: SECRET_KEY of the suite.
        public_url: address of the gateway as providers see it.
        database: the tables; its sessions must see every tenant.
    """

    def __init__(
        self,
        secret: str,
        public_url: str,
        database: Database,
        files: AttachmentFiles,
        now: Callable[[], datetime],
    ) -> None:
        self._key = derive_key(secret, "chat/media-links")
        self._public_url = public_url
        self._database = database
        self._files = files
        self._now = now

    def sign_read_link(self, attachment_id: str) -> str | None:
        """Return a link for a text, or None without a public address."""
        return self._sign(attachment_id, READ_LIFETIME)

    def sign_fetch_link(self, attachment_id: str) -> str | None:
        """Return a link for a provider, or None without a public address."""
        return self._sign(attachment_id, FETCH_LIFETIME)

    def find_file(self, token: str) -> LinkedFile:
        """Return the file of a link.

        Raises:
            ResourceNotFound: the link is not valid, has expired, or its file was deleted.
        """
        attachment_id, _, rest = token[:_MAX_TOKEN].partition(".")
        expiry, _, signature = rest.partition(".")
        expected = self._compute_signature(attachment_id, expiry)
        is_valid = hmac.compare_digest(expected.encode(), signature.encode())
        if not is_valid or datetime.fromtimestamp(int(expiry), UTC) <= self._now():
            raise ResourceNotFound("file")
        with self._database.read() as session:
            attachment = find_stored_attachment(session, attachment_id)
            if attachment is None:
                raise ResourceNotFound("file")
            blob, mime, name = attachment.blob, attachment.mime, attachment.name
        source = self._files.find_download(blob)
        if blob is None or source is None:
            raise ResourceNotFound("file")
        return LinkedFile(source, mime, name, blob)

    def _sign(self, attachment_id: str, lifetime: timedelta) -> str | None:
        if not self._public_url or not attachment_id:
            return None
        expiry = str(int((self._now() + lifetime).timestamp()))
        signature = self._compute_signature(attachment_id, expiry)
        return f"{self._public_url}/chat/media/{attachment_id}.{expiry}.{signature}"

    def _compute_signature(self, attachment_id: str, expiry: str) -> str:
        digest = hmac.digest(self._key, f"{attachment_id}.{expiry}".encode(), sha256)
        return encode_base64url(digest[:_SIGNATURE_BYTES])
