"""WebM recordings of browsers as Ogg files: the same packets, with bounds for damaged files."""

import random
from io import BytesIO
from pathlib import Path

import pytest

from backend.ai.speech.engines import SpeechFailed
from backend.ai.speech.model_files import are_packages_installed
from backend.ai.speech.webm_audio import UnsupportedAudio, convert_webm_to_ogg

# Recorded with the MediaRecorder of Chromium.
WEBM = (Path(__file__).parents[2] / "data" / "speech" / "parcel-en.webm").read_bytes()
UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
HEAD = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0"
# 20 ms of silence: one frame, mono.
PACKET = b"\xf8\xff\xfe"

needs_extra = pytest.mark.skipif(
    not are_packages_installed(), reason="the extra voice is not installed"
)


def element(identifier: int, content: bytes, *, has_size: bool = True) -> bytes:
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    size = (len(content) | 1 << 28).to_bytes(4, "big") if has_size else UNKNOWN_SIZE
    return name + size + content


def build_webm(
    packets: list[bytes],
    *,
    codec: bytes = b"A_OPUS",
    flags: int = 0x80,
    track: int = 1,
    properties: bytes = b"",
    has_sizes: bool = False,
) -> bytes:
    entry = element(0xD7, b"\x01") + element(0x86, codec) + element(0x63A2, HEAD) + properties
    blocks = b"".join(
        element(0xA3, bytes([0x80 | track, 0, 0, flags]) + packet) for packet in packets
    )
    tracks = element(0x1654AE6B, element(0xAE, entry))
    cluster = element(0x1F43B675, element(0xE7, b"\0") + blocks, has_size=has_sizes)
    segment = element(0x18538067, tracks + cluster, has_size=has_sizes)
    return element(0x1A45DFA3, element(0x4282, b"webm")) + segment


@needs_extra
def test_recording_of_a_browser_is_decoded() -> None:
    from backend.ai.speech.audio_decoding import decode_audio

    samples = decode_audio(WEBM, 60)

    assert len(samples) / 16_000 == pytest.approx(3.84, abs=0.05)
    assert float(abs(samples).max()) > 0.1


@needs_extra
@pytest.mark.parametrize("has_sizes", [True, False])
def test_samples_of_all_packets_are_counted(has_sizes: bool) -> None:
    import soundfile

    ogg = convert_webm_to_ogg(build_webm([PACKET] * 600, has_sizes=has_sizes))

    with soundfile.SoundFile(BytesIO(ogg)) as file:
        # The first 312 samples prepare the decoder (RFC 7845).
        assert len(file) == 600 * 960 - 312
        assert len(file.read()) == 600 * 960 - 312


@pytest.mark.parametrize(
    "content",
    [
        build_webm([PACKET], codec=b"A_VORBIS"),
        build_webm([PACKET], properties=element(0x6D80, b"")),
        element(0x1A45DFA3, b""),
        b"\x1aE\xdf\xa3" + bytes(1000),
        b"\x1aE\xdf\xa3" + b"\xff" * 1000,
    ],
    ids=["another codec", "encoded track", "no track", "zeros", "ones"],
)
def test_file_without_readable_opus_is_refused(content: bytes) -> None:
    with pytest.raises(UnsupportedAudio):
        convert_webm_to_ogg(content)


def test_blocks_of_other_tracks_and_with_several_packets_are_not_used() -> None:
    empty = convert_webm_to_ogg(build_webm([b""]))

    assert convert_webm_to_ogg(build_webm([PACKET], track=2)) == empty
    assert convert_webm_to_ogg(build_webm([PACKET], flags=0x82)) == empty
    assert convert_webm_to_ogg(build_webm([PACKET])) > empty


def test_truncated_and_damaged_files_raise_nothing_else() -> None:
    source = random.Random(1)  # noqa: S311 - the same files in each run
    for _ in range(300):
        content = bytearray(WEBM[: source.randrange(4, len(WEBM))])
        for _ in range(source.randrange(4)):
            content[source.randrange(len(content))] = source.randrange(256)
        try:
            convert_webm_to_ogg(bytes(content))
        except UnsupportedAudio:
            continue


@needs_extra
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x20ftypM4A " + bytes(1000), "MP4 or M4A"),
        (b"#!AMR\n" + bytes(1000), "AMR"),
        (b"\xff\xf1" + bytes(1000), "AAC"),
        (build_webm([PACKET], codec=b"A_VORBIS"), "WebM or Matroska without Opus"),
    ],
)
def test_format_without_a_decoder_is_named_with_the_setting(content: bytes, name: str) -> None:
    from backend.ai.speech.audio_decoding import decode_audio

    with pytest.raises(SpeechFailed, match=f"The file is {name}.* VOICE_STT") as failure:
        decode_audio(content, 60)
    assert failure.value.code == "unsupported_recording"
