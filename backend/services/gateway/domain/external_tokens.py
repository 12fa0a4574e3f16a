"""Bearer tokens that are not ours: which of them an identity provider has issued."""

import json
import re
from collections.abc import Mapping
from typing import Any

from backend.security.base64url import decode_base64url
from backend.security.tokens import TOKEN_TYPE

# The signature is empty if `alg` is `none`. Auth rejects such a token with its reason.
_TOKEN = re.compile(r"[\w-]{1,4096}\.[\w-]{0,8192}\.[\w-]{0,2048}", re.ASCII)


def find_external_token(authorization: str) -> str | None:
    """Return the bearer token in *authorization* if it is a JSON Web Token and not one of ours.

    Nothing is verified.
    """
    scheme, _, text = authorization.partition(" ")
    token = text.strip()
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
        return None
    header = _decode_part(token, 0)
    if header is None or str(header.get("typ")).lower().endswith(TOKEN_TYPE):
        return None
    return token


def read_issuer(token: str) -> str | None:
    """Return the unverified `iss` of *token*, or None."""
    claims = _decode_part(token, 1)
    issuer = claims.get("iss") if claims is not None else None
    return issuer if isinstance(issuer, str) else None


def _decode_part(token: str, index: int) -> Mapping[str, Any] | None:
    try:
        value = json.loads(decode_base64url(token.split(".")[index]))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
