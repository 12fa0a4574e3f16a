"""Base64url has exactly one spelling for each value."""

import pytest

from backend.security.base64url import decode_base64url, encode_base64url, is_compact_token


@pytest.mark.parametrize("content", [b"", b"a", b"ab", b"abc", b"\xff\xfe\xfd"])
def test_decoding_returns_the_encoded_bytes(content):
    assert decode_base64url(encode_base64url(content)) == content


@pytest.mark.parametrize(
    "text", ["YQ==", "YQ=", "YR", "Y", "Y Q", "YQ\n", "+/", "\uff39", "\ud800"], ids=ascii
)
def test_decoding_rejects_padding_other_characters_and_unused_bits(text):
    with pytest.raises(ValueError, match=r"^not (base64url without|the canonical)"):
        decode_base64url(text)


@pytest.mark.parametrize("token", ["", "a.b", "YQ.YQ.", "YQ.YQ.YQ.YQ", "YQ.YQ.YQ==", "YQ.YR.YQ"])
def test_token_with_other_parts_is_rejected(token):
    assert not is_compact_token(token)
    assert is_compact_token("YQ.YQ.YQ")
