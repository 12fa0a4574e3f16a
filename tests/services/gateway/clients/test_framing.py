"""Bodies: where they end, however the bytes are split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.gateway.clients.fields import BadFraming
from backend.services.gateway.clients.framing import LAST_CHUNK, Chunked, Length, UntilClose, chunk

GOOD = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    (b"A\r\nhelloworld\r\n0\r\n\r\n", b"helloworld"),
    (b"005\r\nhello\r\n000\r\n\r\n", b"hello"),
    (b'5;a;b=c;d="e\\"f;g"\r\nhello\r\n0;x=y\r\n\r\n', b"hello"),
    (b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"hello"),
    (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
]
BAD = [
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


@pytest.mark.parametrize(("wire", "body"), GOOD)
def test_chunks_become_their_body_at_every_split(wire, body):
    for cut in range(len(wire) + 1):
        decoder = Chunked()
        assert decoder.feed(wire[:cut]) + decoder.feed(wire[cut:]) == body
        assert decoder.done
    decoder = Chunked()
    assert b"".join(decoder.feed(bytes([byte])) for byte in wire) == body
    decoder.end()


@pytest.mark.parametrize("wire", BAD)
def test_what_needs_guessing_is_refused_at_every_split(wire):
    for cut in range(0, len(wire), max(1, len(wire) // 40)):
        decoder = Chunked()
        with pytest.raises(BadFraming):
            decoder.feed(wire[:cut]) + decoder.feed(wire[cut:])
    with pytest.raises(BadFraming):
        feed_bytewise(wire)


def feed_bytewise(wire):
    decoder = Chunked()
    for byte in wire:
        decoder.feed(bytes([byte]))


@given(st.lists(st.binary(min_size=1, max_size=50)), st.data())
def test_what_is_written_in_chunks_is_read_back(pieces, data):
    wire = b"".join(chunk(piece) for piece in pieces) + LAST_CHUNK + b"next"
    decoder, out = Chunked(), b""
    while wire and not decoder.done:
        cut = data.draw(st.integers(1, len(wire)))
        out += decoder.feed(wire[:cut])
        wire = wire[cut:]

    assert out == b"".join(pieces)
    assert decoder.rest + wire == b"next"


def test_a_length_ends_where_it_says():
    body = Length(5)

    assert body.feed(b"hel") == b"hel"
    assert not body.done
    assert body.feed(b"lo, next") == b"lo"
    assert body.done
    assert body.rest == b", next"
    body.end()


def test_a_cut_body_is_noticed():
    for decoder in (Length(3), Chunked()):
        with pytest.raises(BadFraming):
            decoder.end()


def test_a_body_until_close_ends_whenever_it_ends():
    body = UntilClose()

    assert body.feed(b"x") == b"x"
    assert not body.done
    body.end()


def test_no_bytes_make_no_chunk():
    assert chunk(b"") == b""
