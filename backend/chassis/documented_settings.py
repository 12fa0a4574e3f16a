"""The environment variables that `.env.example` documents, and how their values are shown."""

import re
from pathlib import Path

_SETTING = re.compile(r"^#?\s?([A-Z][A-Z0-9_]+)=(.*?)(?:\s+#.*)?$")
_SECRET = re.compile(r"KEY|PASSWORD|SECRET|TOKEN")
# Limits of language model tokens, which are no secrets.
_TOKEN_COUNT = re.compile(r"(?:^|_)TOKENS(?:_|$)|_TOKEN_SECONDS$")
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^@/]*(?=@)")
_PARAMETER = re.compile(r"(?<=[?&])([^=&?]*)=([^&]*)")


def list_documented_settings(root: Path) -> list[tuple[str, str]]:
    """Return every variable in `.env.example` below *root* with its default."""
    lines = (root / ".env.example").read_text("utf-8").splitlines()
    return [(match[1], match[2]) for match in map(_SETTING.match, lines) if match]


def hide_secrets(name: str, value: str) -> str:
    """Return *value* as it may be shown: without secrets, and without passwords in URLs."""
    if _SECRET.search(name) and not _TOKEN_COUNT.search(name):
        return "(set)"
    return _PARAMETER.sub(_mask_parameter, _PASSWORD_IN_URL.sub("…", value))


def _mask_parameter(match: re.Match[str]) -> str:
    return f"{match[1]}=…" if _SECRET.search(match[1].upper()) else match[0]
