"""Body decoders: end of the body and malformed input, at every split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.chassis.web.http1.body_framing import (
    LAST_CHUNK,
    ChunkedDecoder,
    LengthDecoder,
    UntilCloseDecoder,
    encode_chunk,
)
from backend.chassis.web.http1.header_fields import ProtocolError

VALID = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    (b"A\r\nhelloworld\r\n0\r\n\r\n", b"helloworld"),
    (b"005\r\nhello\r\n000\r\n\r\n", b"hello"),
    (b'5;a;b=c;d="e\\"f;g"\r\nhello\r\n0;x=y\r\n\r\n', b"hello"),
    (b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"hello"),
    (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
]
MALFORMED = [
    b"\r\n",
    b"g\r\n",
    b"-1\r\n",
    b"+5\r\nhello\r\n",
    b"0x5\r\nhello\r\n",
    b"1_0\r\n",
    b" 5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5\t\r\nhello\r\n",
    b"5;\r\nhello\r\n",
    b"5;bad[=x\r\nhello\r\n",
    b"5;a=\r\nhello\r\n",
    b'5;a="b\r\nhello\r\n',
    b"5;a=b\x00\r\nhello\r\n",
    b"5;a\nb\r\nhello\r\n",
    b"5\nhello\n0\n\n",
    b"5\rhello",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhelloX\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"FFFFFFFFFFFFFFFF0\r\nhello\r\n",
    b"5;" + b"a" * 300 + b"\r\nhello\r\n",
    b"0\r\nbad trailer\r\n\r\n",
    b"0\r\nA : b\r\n\r\n",
    b"0\r\nA: b\n\r\n",
    b"0\r\n" + b"A: b\r\n" * 3000,
]


@pytest.mark.parametrize(("wire", "body"), VALID)
def test_chunked_body_is_decoded_at_every_split(wire, body):
    for cut in range(len(wire) + 1):
        decoder = ChunkedDecoder()
        assert decoder.feed(wire[:cut]) + decoder.feed(wire[cut:]) == body
        assert decoder.done
    decoder = ChunkedDecoder()
    assert b"".join(decoder.feed(bytes([byte])) for byte in wire) == body
    decoder.feed_eof()


@pytest.mark.parametrize("wire", MALFORMED)
def test_malformed_chunks_are_rejected_at_every_split(wire):
    for cut in range(0, len(wire), max(1, len(wire) // 40)):
        decoder = ChunkedDecoder()
        with pytest.raises(ProtocolError):
            decoder.feed(wire[:cut]) + decoder.feed(wire[cut:])
    with pytest.raises(ProtocolError):
        feed_bytes_one_by_one(wire)


def feed_bytes_one_by_one(wire):
    decoder = ChunkedDecoder()
    for byte in wire:
        decoder.feed(bytes([byte]))


@given(st.lists(st.binary(min_size=1, max_size=50)), st.data())
def test_encoded_chunks_are_decoded(pieces, data):
    wire = b"".join(encode_chunk(piece) for piece in pieces) + LAST_CHUNK + b"next"
    decoder, out = ChunkedDecoder(), b""
    while wire and not decoder.done:
        cut = data.draw(st.integers(1, len(wire)))
        out += decoder.feed(wire[:cut])
        wire = wire[cut:]

    assert out == b"".join(pieces)
    assert decoder.trailing_data + wire == b"next"


def test_length_decoder_ends_after_its_length():
    body = LengthDecoder(5)

    assert body.feed(b"hel") == b"hel"
    assert not body.done
    assert body.feed(b"lo, next") == b"lo"
    assert body.done
    assert body.trailing_data == b", next"
    body.feed_eof()


def test_truncated_body_is_rejected():
    for decoder in (LengthDecoder(3), ChunkedDecoder()):
        with pytest.raises(ProtocolError):
            decoder.feed_eof()


def test_until_close_decoder_accepts_any_end():
    body = UntilCloseDecoder()

    assert body.feed(b"x") == b"x"
    assert not body.done
    body.feed_eof()


def test_empty_data_is_not_encoded_as_a_chunk():
    assert encode_chunk(b"") == b""
