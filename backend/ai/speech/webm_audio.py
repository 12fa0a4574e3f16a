"""Opus audio of WebM and Matroska files, which browsers record, as an Ogg file.

libsndfile decodes Opus in Ogg only. The elements of WebM (RFC 8794, RFC 9559) are read in the order
of the file: containers are entered instead of parsed as a tree, because recordings of browsers do
not have the sizes of theirs. The packets are copied into the pages of an Ogg file (RFC 3533, RFC
7845).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

# Elements by their ids.
_TRACK_ENTRY: Final = 0xAE
_TRACK_NUMBER: Final = 0xD7
_CODEC_ID: Final = 0x86
_CODEC_PRIVATE: Final = 0x63A2
_CONTENT_ENCODINGS: Final = 0x6D80
_SIMPLE_BLOCK: Final = 0xA3
_BLOCK: Final = 0xA1
# Segment, Cluster, Tracks, TrackEntry and BlockGroup.
_CONTAINERS: Final = frozenset({0x18538067, 0x1F43B675, 0x1654AE6B, _TRACK_ENTRY, 0xA0})
_VALUES: Final = frozenset(
    {_TRACK_NUMBER, _CODEC_ID, _CODEC_PRIVATE, _CONTENT_ENCODINGS, _SIMPLE_BLOCK, _BLOCK}
)
_MAX_ID_BYTES: Final = 4
_MAX_SIZE_BYTES: Final = 8
_LACING: Final = 0x06

_HEAD: Final = b"OpusHead"
_MIN_HEAD_BYTES: Final = 19
_TAGS: Final = b"OpusTags" + bytes(8)
_SERIAL: Final = b"\x01\x00\x00\x00"
_FIRST_PAGE: Final = 2
_LAST_PAGE: Final = 4
# The pages before have the head and the tags.
_FIRST_AUDIO_PAGE: Final = 2
_MAX_SEGMENTS: Final = 255
_SEGMENT_BYTES: Final = 255
# Samples of a frame at 48 kHz by the configuration in a packet's first byte (RFC 6716, table 2).
_FRAME_SAMPLES: Final = (
    *(480, 960, 1920, 2880) * 3,
    *(480, 960) * 2,
    *(120, 240, 480, 960) * 4,
)
_MAX_PACKET_SAMPLES: Final = 5760
_REVERSED_BITS: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class UnsupportedAudio(Exception):
    """The file has no audio track with Opus that can be copied."""


class _Element(NamedTuple):
    id: int
    content: memoryview


@dataclass(slots=True)
class _Track:
    number: int = 0
    codec: bytes = b""
    head: bytes = b""
    is_encoded: bool = False


def convert_webm_to_ogg(content: bytes) -> bytes:
    """Return the first audio track with Opus as an Ogg file.

    A file that ends early is converted up to there.

    Raises:
        UnsupportedAudio: there is none, or it is encrypted or compressed.
    """
    track, packets = _read_track(content)
    if track is None:
        raise UnsupportedAudio
    pages = [_build_page(_FIRST_PAGE, 0, 0, [track.head]), _build_page(0, 0, 1, [_TAGS])]
    samples = 0
    batches = list(_split_pages(packets))
    for number, batch in enumerate(batches):
        samples += sum(map(_count_samples, batch))
        kind = _LAST_PAGE if number + 1 == len(batches) else 0
        pages.append(_build_page(kind, samples, number + _FIRST_AUDIO_PAGE, batch))
    return b"".join(pages)


# WebM


def _read_track(content: bytes) -> tuple[_Track | None, list[bytes]]:
    """Return the first track with Opus, or None, and its packets."""
    tracks: list[_Track] = []
    chosen: _Track | None = None
    packets: list[bytes] = []
    for element in _read_elements(content):
        if element.id == _TRACK_ENTRY:
            tracks.append(_Track())
        elif element.id in (_SIMPLE_BLOCK, _BLOCK):
            chosen = chosen or next(filter(_is_readable, tracks), None)
            if chosen is not None:
                packets += _read_block(element.content, chosen.number)
        elif tracks:
            _set_property(tracks[-1], element)
    return chosen, packets


def _set_property(track: _Track, element: _Element) -> None:
    if element.id == _TRACK_NUMBER:
        track.number = int.from_bytes(element.content[:_MAX_SIZE_BYTES], "big")
    elif element.id == _CODEC_ID:
        track.codec = bytes(element.content[:_SEGMENT_BYTES]).rstrip(b"\0")
    elif element.id == _CODEC_PRIVATE:
        track.head = bytes(element.content[: _SEGMENT_BYTES - 1])
    elif element.id == _CONTENT_ENCODINGS:
        track.is_encoded = True


def _is_readable(track: _Track) -> bool:
    has_head = track.head.startswith(_HEAD) and len(track.head) >= _MIN_HEAD_BYTES
    return track.codec == b"A_OPUS" and has_head and not track.is_encoded


def _read_elements(content: bytes) -> Iterator[_Element]:
    """Yield containers, before their members, and the elements that are used."""
    view, position = memoryview(content), 0
    while True:
        identifier, position = _read_number(view, position, _MAX_ID_BYTES, keeps_marker=True)
        size, position = _read_number(view, position, _MAX_SIZE_BYTES)
        if identifier is None or size is None:
            return
        if identifier in _CONTAINERS:
            yield _Element(identifier, view[:0])
            continue
        if identifier in _VALUES:
            yield _Element(identifier, view[position : position + size])
        position += size


def _read_number(
    view: memoryview, position: int, max_bytes: int, *, keeps_marker: bool = False
) -> tuple[int | None, int]:
    """Return a number of variable length, or None at the end of the file, and the position behind.

    The number of leading zero bits is that of further bytes.
    """
    first = view[position] if position < len(view) else 0
    length = 9 - first.bit_length()
    if length > max_bytes or position + length > len(view):
        return None, len(view)
    value = int.from_bytes(view[position : position + length], "big")
    if not keeps_marker:
        value &= (1 << 7 * length) - 1
    return value, position + length


def _read_block(block: memoryview, track_number: int) -> list[bytes]:
    """Return the packet of a block of the track. Blocks with several packets are not used."""
    number, position = _read_number(block, 0, _MAX_SIZE_BYTES)
    # Two bytes with the time and one with flags precede the packet.
    packet = bytes(block[position + 3 :])
    if number != track_number or not packet or block[position + 2] & _LACING:
        return []
    return [packet]


# Ogg


def _split_pages(packets: list[bytes]) -> Iterator[list[bytes]]:
    """Yield packets that fit into one page. A packet that is larger than a page is left out."""
    batch: list[bytes] = []
    segments = 0
    for packet in packets:
        needed = len(packet) // _SEGMENT_BYTES + 1
        if needed > _MAX_SEGMENTS:
            continue
        if segments + needed > _MAX_SEGMENTS:
            yield batch
            batch, segments = [], 0
        batch.append(packet)
        segments += needed
    if batch:
        yield batch


def _build_page(kind: int, samples: int, number: int, packets: list[bytes]) -> bytes:
    """Return a page. *samples* is the number of all samples up to its end."""
    sizes = bytearray()
    for packet in packets:
        full, rest = divmod(len(packet), _SEGMENT_BYTES)
        sizes += bytes([_SEGMENT_BYTES]) * full + bytes([rest])
    start = b"OggS\0" + bytes([kind]) + samples.to_bytes(8, "little") + _SERIAL
    start += number.to_bytes(4, "little")
    end = bytes([len(sizes)]) + bytes(sizes) + b"".join(packets)
    return start + _compute_checksum(start + bytes(4) + end) + end


def _compute_checksum(page: bytes) -> bytes:
    """Return the checksum of a page: CRC-32 with the bits of each byte in the other order."""
    checksum = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return checksum.to_bytes(4, "big").translate(_REVERSED_BITS)


def _count_samples(packet: bytes) -> int:
    """Return the number of samples of a packet at 48 kHz (RFC 6716, section 3.1)."""
    code = packet[0] & 3
    frames = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[code]
    return min(frames * _FRAME_SAMPLES[packet[0] >> 3], _MAX_PACKET_SAMPLES)
