"""The type of a file by its bytes; what the sender says of it is not trusted."""

from typing import Final

UNKNOWN: Final = "application/octet-stream"
_MAGIC: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"{\\rtf", "application/rtf"),
)
_AUDIO_BRANDS: Final = (b"M4A ", b"M4B ")
_IMAGE_BRANDS: Final = (b"heic", b"heix", b"mif1", b"avif")
# Containers whose declared type says more than their bytes, if it is one of these.
_REFINED: Final = {
    "application/zip": (
        "application/vnd.openxmlformats",
        "application/vnd.oasis",
        "application/epub",
    ),
    "application/x-ole-storage": ("application/msword", "application/vnd.ms-"),
    "audio/ogg": ("video/ogg", "application/ogg"),
    "video/webm": ("audio/webm", "video/x-matroska"),
    "video/mp4": ("audio/mp4", "audio/aac", "video/quicktime", "video/3gpp"),
}
_SAFE_TEXT: Final = ("text/plain", "text/csv", "text/markdown", "text/vcard", "text/x-vcard")


def detect_type(content: bytes, declared: str) -> str:
    """Return the MIME type of *content*.

    Args:
        declared: type that the sender gives. It is used for plain text, and to tell the formats of
            one container apart.
    """
    declared = declared.partition(";")[0].strip().lower()
    found = _match_magic(content)
    if found is not None:
        if declared.startswith(_REFINED.get(found, ())):
            return declared
        return found
    if declared in _SAFE_TEXT and _is_text(content):
        return declared
    return "text/plain" if _is_text(content) else UNKNOWN


def _match_magic(content: bytes) -> str | None:
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        if brand in _AUDIO_BRANDS:
            return "audio/mp4"
        return "image/heic" if brand in _IMAGE_BRANDS else "video/mp4"
    for offset, magic, mime in _MAGIC:
        if content[offset : offset + len(magic)] == magic:
            return mime
    return None


def _is_text(content: bytes) -> bool:
    if not content or b"\0" in content:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
