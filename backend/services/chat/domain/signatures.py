"""Signatures of webhooks: pure functions that return whether a request is authentic.

Each takes several secrets, so that two are valid while one is replaced. Empty secrets are left out,
all comparisons take constant time, and malformed input is not valid; nothing raises.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

MAX_AGE_SECONDS: Final = 300
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
# Twilio signs these characters as they are; HTTP clients and proxies may escape them.
_UNESCAPED: Final = (("%27", "'"), ("%40", "@"), ("%3A", ":"), ("%3a", ":"))


def verify_slack(
    secrets: Iterable[str], timestamp: str | None, signature: str | None, body: bytes, now: float
) -> bool:
    """Verify `X-Slack-Signature` (version v0) and that the request is at most 300 s old."""
    if not _is_recent(timestamp, now) or timestamp is None:
        return False
    message = b"v0:" + timestamp.encode() + b":" + body
    return _matches_any(
        signature, ("v0=" + _sign(secret, message, "sha256").hex() for secret in _usable(secrets))
    )


def verify_meta(secrets: Iterable[str], signature: str | None, body: bytes) -> bool:
    """Verify `X-Hub-Signature-256` of WhatsApp, Messenger and Instagram."""
    return _matches_any(
        signature, ("sha256=" + _sign(secret, body, "sha256").hex() for secret in _usable(secrets))
    )


def verify_secret_token(secrets: Iterable[str], token: str | None) -> bool:
    """Verify a secret that is sent as it is: Telegram's header, Meta's `hub.verify_token`."""
    return _matches_any(token, _usable(secrets))


def verify_twilio(
    tokens: Iterable[str],
    shared_keys: Iterable[str],
    urls: Sequence[str],
    parameters: Sequence[tuple[str, str]],
    body: bytes | None,
    signature: str | None,
    settings: str | None = None,
) -> bool:
    """Verify `X-Twilio-Signature` over the URL and the parameters of a form.

    Args:
        tokens: auth tokens, for HMAC-SHA1.
        shared_keys: the keys that `X-Twilio-Webhooks-Signature-Settings` selects.
        urls: candidates for the URL that Twilio called, see `build_twilio_urls`.
        parameters: fields of the form in any order; empty for JSON and for GET.
        body: the body if it is no form: its hash must be the `bodySHA256` of the URL.
        settings: value of the settings header, such as `key=…,algorithm=HMAC_SHA256`.
    """
    algorithm = _get_algorithm(settings)
    if algorithm is None:
        return False
    secrets = tokens if settings is None else shared_keys
    suffix = _encode("".join(name + value for name, value in sorted(set(parameters))))
    candidates = [url for url in urls if body is None or _has_body_hash(url, body)]
    return _matches_any(
        signature,
        [
            base64.b64encode(_sign(secret, _encode(url) + suffix, algorithm)).decode()
            for secret in _usable(secrets)
            for url in candidates
        ],
    )


def build_twilio_urls(url: str) -> list[str]:
    """Return *url* with and without its port, escaped and with `'`, `@` and `:` unescaped."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return [url]
    if ":" in host:
        host = f"[{host}]"
    port = port or _DEFAULT_PORTS.get(parts.scheme)
    hosts = dict.fromkeys([parts.netloc, host, f"{host}:{port}" if port else host])
    queries = dict.fromkeys([parts.query, _unescape(parts.query)])
    return [
        urlunsplit((parts.scheme, netloc, parts.path, query, ""))
        for netloc in hosts
        for query in queries
    ]


def _unescape(query: str) -> str:
    for escaped, character in _UNESCAPED:
        query = query.replace(escaped, character)
    return query


def _get_algorithm(settings: str | None) -> str | None:
    if settings is None:
        return "sha1"
    values = dict(part.strip().partition("=")[::2] for part in settings.split(","))
    return {"HMAC_SHA256": "sha256", "HMAC_SHA1": "sha1"}.get(values.get("algorithm", ""))


def _has_body_hash(url: str, body: bytes) -> bool:
    try:
        query = dict(parse_qsl(urlsplit(url).query, max_num_fields=100))
    except ValueError:
        return False
    sent = query.get("bodySHA256", "").lower()
    return bool(sent) and _matches_any(sent, [hashlib.sha256(body).hexdigest()])


def _is_recent(timestamp: str | None, now: float) -> bool:
    # isdigit alone accepts digits of other scripts, which int() would parse.
    if not timestamp or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    return abs(now - int(timestamp)) <= MAX_AGE_SECONDS


def _usable(secrets: Iterable[str]) -> Iterator[str]:
    return (secret for secret in secrets if secret)


def _sign(secret: str, message: bytes, algorithm: str) -> bytes:
    return hmac.digest(_encode(secret), message, algorithm)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _matches_any(sent: str | None, expected: Iterable[str]) -> bool:
    if not sent:
        return False
    encoded = _encode(sent)
    is_equal = False
    # All are compared, so that the time does not depend on which one matches.
    for value in expected:
        is_equal |= hmac.compare_digest(encoded, _encode(value))
    return is_equal
