"""Types of files by their bytes."""

import pytest

from backend.services.chat.domain.media.file_types import detect_type


@pytest.mark.parametrize(
    ("content", "declared", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/jpeg", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "", "image/webp"),
        (b"<html><script>", "image/png", "text/plain"),
        (b"MZ\x90\x00\x03", "image/png", "application/octet-stream"),
        (
            b"PK\x03\x04...",
            "application/vnd.openxmlformats-officedocument",
            "application/vnd.openxmlformats-officedocument",
        ),
        (b"PK\x03\x04...", "image/png", "application/zip"),
        (b"OggS....", "audio/ogg; codecs=opus", "audio/ogg"),
        (b"\x00\x00\x00\x18ftypM4A ", "video/mp4", "audio/mp4"),
        (b"\x00\x00\x00\x18ftypisom", "audio/mp4", "audio/mp4"),
        (b"a,b\n1,2", "text/csv", "text/csv"),
        (b"plain", "text/html", "text/plain"),
        (b"", "text/plain", "application/octet-stream"),
    ],
)
def test_type_is_that_of_the_bytes(content: bytes, declared: str, mime: str) -> None:
    assert detect_type(content, declared) == mime
