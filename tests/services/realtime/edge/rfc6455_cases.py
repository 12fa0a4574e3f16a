"""Cases of the WebSocket protocol (RFC 6455), numbered like those of the Autobahn test suite.

A case is a list of bytes to send and the frames that an echo server answers with. The frames are
(opcode, payload); a close frame ends the list, and its payload is the code, or None for any code.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MASK = b"\x37\xfa\x21\x3d"
HELLO = "Hello-µ@ßöäüàá-UTF-8!!"


def mask(payload: bytes) -> bytes:
    key = int.from_bytes(_MASK * (len(payload) // 4 + 1), "big") >> 8 * (4 - len(payload) % 4)
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big") if payload else b""


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a masked frame, as a client sends it."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    length = len(payload)
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 65536:
        head += b"\xfe" + struct.pack("!H", length)
    else:
        head += b"\xff" + struct.pack("!Q", length)
    return head + _MASK + mask(payload)


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


Reply = tuple[int, bytes | int | None]


@dataclass
class Case:
    """One case.

    Attributes:
        sent: pieces of bytes to send, one after the other.
        replies: the expected frames. Without a close frame at the end, the runner closes with 1000
            and expects that code.
        chop: size of the pieces in which everything is sent; 0 sends each piece at once.
    """

    name: str
    sent: list[bytes]
    replies: list[Reply] = field(default_factory=list)
    chop: int = 0


FAIL: Reply = (CLOSE, 1002)
INVALID_DATA: Reply = (CLOSE, 1007)


def list_cases() -> Iterator[Case]:
    yield from _framing()
    yield from _pings()
    yield from _reserved()
    yield from _fragmentation()
    yield from _utf8()
    yield from _closing()
    yield from _limits()


def _framing() -> Iterator[Case]:
    for group, opcode, filler in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            payload = filler * size
            yield Case(f"1.{group}.{number}", [frame(opcode, payload)], [(opcode, payload)])
        payload = filler * 65536
        yield Case(f"1.{group}.8", [frame(opcode, payload)], [(opcode, payload)], chop=997)


def _pings() -> Iterator[Case]:
    for number, payload in enumerate(
        (b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), 1
    ):
        yield Case(f"2.{number}", [frame(PING, payload)], [(PONG, payload)])
    yield Case("2.4", [frame(PING, b"\xfe" * 125)], [(PONG, b"\xfe" * 125)])
    yield Case("2.5", [frame(PING, b"\xfe" * 126)], [FAIL])
    yield Case("2.6", [frame(PING, b"\xfe" * 125)], [(PONG, b"\xfe" * 125)], chop=1)
    yield Case("2.7", [frame(PONG)], [])
    yield Case("2.8", [frame(PONG, b"unsolicited")], [])
    ping = (frame(PING, b"ping payload"), (PONG, b"ping payload"))
    yield Case("2.9", [frame(PONG, b"unsolicited"), ping[0]], [ping[1]])
    payloads = [b"payload-%d" % number for number in range(10)]
    pings, pongs = [frame(PING, p) for p in payloads], [(PONG, p) for p in payloads]
    yield Case("2.10", pings, list(pongs))
    yield Case("2.11", pings, list(pongs), chop=1)


def _reserved() -> Iterator[Case]:
    ok = frame(TEXT, HELLO.encode())
    echo: Reply = (TEXT, HELLO.encode())
    yield Case("3.1", [frame(TEXT, HELLO.encode(), rsv=1)], [FAIL])
    yield Case("3.2", [ok, frame(TEXT, HELLO.encode(), rsv=2), frame(PING)], [echo, FAIL])
    yield Case("3.3", [ok + frame(TEXT, HELLO.encode(), rsv=3) + frame(PING)], [echo, FAIL])
    yield Case("3.4", [ok, frame(TEXT, HELLO.encode(), rsv=4), frame(PING)], [echo, FAIL], chop=1)
    yield Case("3.5", [frame(BINARY, b"\x00\xff\xfe", rsv=5)], [FAIL])
    yield Case("3.6", [frame(PING, HELLO.encode(), rsv=6)], [FAIL])
    yield Case("3.7", [frame(CLOSE, b"", rsv=7)], [FAIL])
    for group, opcodes in ((1, range(3, 8)), (2, range(11, 16))):
        for number, opcode in enumerate(opcodes, 1):
            before = [ok] if number > 2 else []
            replies = [echo] if before else []
            payload = b"reserved opcode payload" if number % 2 == 0 else b""
            yield Case(
                f"4.{group}.{number}",
                [*before, frame(opcode, payload), frame(PING)],
                [*replies, FAIL],
            )


def _fragmentation() -> Iterator[Case]:
    first, last = frame(TEXT, b"fragment1", fin=False), frame(CONT, b"fragment2")
    echo: Reply = (TEXT, b"fragment1fragment2")
    ping, pong = frame(PING, b"ping payload"), (PONG, b"ping payload")
    yield Case("5.1", [frame(PING, b"fragment1", fin=False), last], [FAIL])
    yield Case("5.2", [frame(PONG, b"fragment1", fin=False), last], [FAIL])
    yield Case("5.3", [first, last], [echo])
    yield Case("5.4", [first + last], [echo])
    yield Case("5.5", [first, last], [echo], chop=1)
    yield Case("5.6", [first, ping, last], [pong, echo])
    yield Case("5.7", [first + ping + last], [pong, echo])
    yield Case("5.8", [first, ping, last], [pong, echo], chop=1)
    orphan = frame(CONT, b"non-continuation payload")
    hello = frame(TEXT, b"Hello, world!")
    yield Case("5.9", [orphan, hello], [FAIL])
    yield Case("5.10", [orphan + hello], [FAIL])
    yield Case("5.11", [orphan, hello], [FAIL], chop=1)
    orphan = frame(CONT, b"non-continuation payload", fin=False)
    yield Case("5.12", [orphan, hello], [FAIL])
    yield Case("5.13", [orphan + hello], [FAIL])
    yield Case("5.14", [orphan, hello], [FAIL], chop=1)
    more = [frame(CONT, b"fragment3", fin=False), frame(TEXT, b"fragment4")]
    yield Case("5.15", [first, last, *more], [echo, FAIL])
    for number, fin in ((16, False), (17, True)):
        sent = [frame(CONT, b"fragment1", fin=fin), frame(TEXT, b"fragment2", fin=False), last]
        yield Case(f"5.{number}", sent * 2, [FAIL])
    yield Case("5.18", [first, frame(TEXT, b"fragment2")], [FAIL])
    parts = [
        first,
        frame(CONT, b"fragment2", fin=False),
        frame(PING, b"pongme 1!"),
        frame(CONT, b"fragment3", fin=False),
        frame(CONT, b"fragment4", fin=False),
        frame(PING, b"pongme 2!"),
        frame(CONT, b"fragment5"),
    ]
    replies: list[Reply] = [
        (PONG, b"pongme 1!"),
        (PONG, b"pongme 2!"),
        (TEXT, b"fragment1fragment2fragment3fragment4fragment5"),
    ]
    yield Case("5.19", parts, replies)
    yield Case("5.20", [b"".join(parts)], list(replies))


_VALID_TEXTS = [
    "κόσμε",
    "\x00",
    "\u0080",
    "\u0800",
    "\U00010000",
    "\x7f",
    "\u07ff",
    "\uffff",
    "\U0010ffff",
    "\ud7ff",
    "\ue000",
    "\ufffd",
    *(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)),
]
_INVALID_HEX = (
    # Beyond the last code point, and sequences of five and six bytes.
    "f4908080 f8888080 80 f888808080 f7bfbfbf fbbfbfbfbf fc8480808080 fdbfbfbfbfbf "
    # Continuation bytes alone.
    "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf "
    # First bytes without continuation.
    "c020 df20 e020 ef20 f020 f720 f820 fb20 fc20 fd20 c0 e080 f08080 f8808080 fc80808080 "
    "df efbf f7bfbf fbbfbfbf fdbfbfbfbf c0e080f08080 fe ff fefeffff "
    # Overlong forms.
    "c0af e080af f08080af f8808080af fc80808080af c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf "
    "c080 e08080 f0808080 f880808080 fc8080808080 "
    # Surrogates, alone and in pairs.
    "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf eda080edb080 eda080edbfbf edadbfedb080 "
    "edadbfedbfbf edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf"
)
_INVALID_BYTES = [bytes.fromhex(text) for text in _INVALID_HEX.split()]


def _utf8() -> Iterator[Case]:
    yield Case("6.1.1", [frame(TEXT)], [(TEXT, b"")])
    empty = [frame(TEXT, fin=False), frame(CONT, fin=False), frame(CONT)]
    yield Case("6.1.2", empty, [(TEXT, b"")])
    middle = [frame(TEXT, fin=False), frame(CONT, b"middle", fin=False), frame(CONT)]
    yield Case("6.1.3", middle, [(TEXT, b"middle")])
    hello = HELLO.encode()
    yield Case("6.2.1", [frame(TEXT, hello)], [(TEXT, hello)])
    for number, at in ((2, 12), (3, 1)):
        pieces = [hello[i : i + at] for i in range(0, len(hello), at)]
        sent = [
            frame(TEXT if not i else CONT, piece, fin=i == len(pieces) - 1)
            for i, piece in enumerate(pieces)
        ]
        yield Case(f"6.2.{number}", sent, [(TEXT, hello)])
    kosme = "κόσμε".encode()
    split = [
        frame(TEXT if not i else CONT, kosme[i : i + 1], fin=i == len(kosme) - 1)
        for i in range(len(kosme))
    ]
    yield Case("6.2.4", split, [(TEXT, kosme)])
    invalid = kosme + b"\xed\xa0\x80" + b"edited"
    yield Case("6.3.1", [frame(TEXT, invalid)], [INVALID_DATA])
    split = [
        frame(TEXT if not i else CONT, invalid[i : i + 1], fin=i == len(invalid) - 1)
        for i in range(len(invalid))
    ]
    yield Case("6.3.2", split, [INVALID_DATA])
    # The message is not complete, but cannot become valid any more.
    early = [frame(TEXT, kosme, fin=False), frame(CONT, b"\xf4\x90\x80\x80", fin=False)]
    yield Case("6.4.1", early, [INVALID_DATA])
    early = [frame(TEXT, kosme + b"\xf4", fin=False), frame(CONT, b"\x90", fin=False)]
    yield Case("6.4.2", early, [INVALID_DATA])
    for number, text in enumerate(_VALID_TEXTS, 1):
        payload = text.encode()
        yield Case(f"6.5.{number}", [frame(TEXT, payload)], [(TEXT, payload)])
        if len(payload) > 1:
            halves = [frame(TEXT, payload[:1], fin=False), frame(CONT, payload[1:])]
            yield Case(f"6.6.{number}", halves, [(TEXT, payload)])
    for number, payload in enumerate(_INVALID_BYTES, 1):
        yield Case(f"6.7.{number}", [frame(TEXT, payload)], [INVALID_DATA])
        fragments = [frame(TEXT, payload[:1], fin=False), frame(CONT, payload[1:])]
        yield Case(f"6.8.{number}", fragments, [INVALID_DATA])


def _closing() -> Iterator[Case]:
    hello = frame(TEXT, b"Hello World!")
    echo: Reply = (TEXT, b"Hello World!")
    yield Case("7.1.1", [hello, close()], [echo, (CLOSE, 1000)])
    yield Case("7.1.2", [close(), close()], [(CLOSE, 1000)])
    yield Case("7.1.3", [close(), frame(PING)], [(CLOSE, 1000)])
    yield Case("7.1.4", [close(), hello], [(CLOSE, 1000)])
    # RFC 6455, 5.5.1: no data after a close frame, so the message is never completed.
    unfinished = [frame(TEXT, b"fragment1", fin=False), close(), frame(CONT, b"fragment2")]
    yield Case("7.1.5", unfinished, [(CLOSE, None)])
    yield Case("7.3.1", [close(None)], [(CLOSE, None)])
    yield Case("7.3.2", [frame(CLOSE, b"a")], [FAIL])
    yield Case("7.3.3", [close()], [(CLOSE, 1000)])
    yield Case("7.3.4", [close(1000, b"Hello World!")], [(CLOSE, 1000)])
    yield Case("7.3.5", [close(1000, b"*" * 123)], [(CLOSE, 1000)])
    yield Case("7.3.6", [close(1000, b"*" * 124)], [FAIL])
    yield Case("7.5.1", [close(1000, b"\xce\xba\xed\xa0\x80")], [INVALID_DATA])
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(valid, 1):
        yield Case(f"7.7.{number}", [close(code)], [(CLOSE, code)])
    invalid = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    for number, code in enumerate(invalid, 1):
        yield Case(f"7.9.{number}", [close(code)], [FAIL])


def _limits() -> Iterator[Case]:
    for group, opcode in ((1, TEXT), (2, BINARY)):
        for number, size in enumerate((65_536, 262_144, 1_048_576, 4_194_304), 1):
            payload = b"*" * size
            yield Case(f"9.{group}.{number}", [frame(opcode, payload)], [(opcode, payload)])
        payload = b"*" * 1_048_576
        for number, size in enumerate((256, 4096, 65_536), 1):
            starts = range(0, len(payload), size)
            sent = b"".join(
                frame(
                    CONT if start else opcode,
                    payload[start : start + size],
                    fin=start + size >= len(payload),
                )
                for start in starts
            )
            yield Case(f"9.{group + 2}.{number}", [sent], [(opcode, payload)])
        for number, size in enumerate((0, 16, 64, 256), 1):
            messages = [b"*" * size] * 500
            yield Case(
                f"9.{group + 6}.{number}",
                [b"".join(frame(opcode, message) for message in messages)],
                [(opcode, message) for message in messages],
            )
