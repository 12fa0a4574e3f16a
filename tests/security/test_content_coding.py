"""Request bodies with a Content-Encoding."""

import gzip
import json
import tracemalloc
import zlib

import pytest

ITEM = json.dumps({"name": "lamp"}).encode()


def compress_raw_deflate(data):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.fixture
def send(client, identities):
    def send(body, coding, **headers):
        return client.post(
            "/items/top",
            data=body,
            content_type="application/json",
            headers=identities.bearer() | {"Content-Encoding": coding} | headers,
        )

    return send


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", gzip.compress(ITEM), id="gzip"),
        pytest.param("GZIP", gzip.compress(ITEM, 0), id="upper case, stored"),
        pytest.param("x-gzip", gzip.compress(ITEM), id="old name"),
        pytest.param("gzip", gzip.compress(ITEM[:5]) + gzip.compress(ITEM[5:]), id="two members"),
        pytest.param("deflate", zlib.compress(ITEM), id="deflate"),
        pytest.param("identity", ITEM, id="identity"),
        pytest.param("", ITEM, id="empty"),
    ],
)
def test_encoded_body_is_decoded(send, coding, body):
    response = send(body, coding)

    assert (response.status_code, response.json["name"]) == (201, "lamp"), response.text


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "utf-8"])
def test_unsupported_coding_returns_415_with_the_supported_ones(send, coding):
    response = send(gzip.compress(ITEM), coding)

    assert (response.status_code, response.json["code"]) == (415, "unsupported_content_coding")
    assert response.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", ITEM, id="not encoded"),
        pytest.param("gzip", gzip.compress(ITEM)[:-5], id="truncated"),
        pytest.param("gzip", gzip.compress(ITEM)[:12], id="truncated after the header"),
        pytest.param("gzip", b"", id="empty"),
        pytest.param("gzip", gzip.compress(ITEM) + b"junk", id="bytes after the end"),
        pytest.param("gzip", gzip.compress(ITEM)[:-8] + b"\0" * 8, id="wrong checksum"),
        pytest.param("gzip", zlib.compress(ITEM), id="zlib as gzip"),
        pytest.param("deflate", gzip.compress(ITEM), id="gzip as deflate"),
        pytest.param("deflate", compress_raw_deflate(ITEM), id="without the zlib header"),
        pytest.param("deflate", zlib.compress(ITEM) * 2, id="two zlib streams"),
    ],
)
def test_body_that_does_not_match_its_coding_returns_400(send, coding, body):
    response = send(body, coding)

    assert (response.status_code, response.json["code"]) == (400, "malformed_content_coding")


def test_malformed_json_in_an_encoded_body_is_reported_as_such(send):
    response = send(gzip.compress(b"{"), "gzip")

    assert (response.status_code, response.json["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_body_that_is_too_large_after_decoding_returns_413_in_bounded_memory(send, coding):
    # 64 MB; the compressed body is below the limit of 1 MiB.
    compressor = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    pieces = [compressor.compress(bytes(1024 * 1024)) for _ in range(64)]
    bomb = b"".join([*pieces, compressor.flush()])

    tracemalloc.start()
    response = send(bomb, coding)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (response.status_code, response.json["code"]) == (413, "too_large")
    assert peak_bytes < 8 * 1024 * 1024


def test_many_empty_gzip_members_end_with_an_error(send):
    response = send(gzip.compress(b"") * 10_000, "gzip")

    assert (response.status_code, response.json["code"]) == (400, "malformed_json")
