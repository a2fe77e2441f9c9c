"""image.png: pixels come back as they were, and a hostile picture is an error before it costs."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ffem_chain.capture.picture import check_png, check_size, decode, encode
from ffem_chain.errors import FormatError

from .support import FILES, HEIGHT, IMAGE, WIDTH

PIXELS = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(*chunks: bytes, size: tuple[int, int] = (9, 7)) -> bytes:
    """A PNG whose first header is right; what follows is the caller's."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)) + b"".join(chunks)


def refused(data: bytes, size: tuple[int, int] = (9, 7)) -> None:
    tracemalloc.start()
    with pytest.raises(FormatError):
        decode(data, *size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80 << 20


@pytest.mark.parametrize("level", [0, 6, 9])
def test_round_trip(level: int) -> None:
    data = encode(PIXELS, compress_level=level)
    check_png(data, 9, 7)
    assert np.array_equal(decode(data, 9, 7), PIXELS)


def test_any_viewer_opens_it_and_it_carries_no_metadata() -> None:
    with Image.open(io.BytesIO(encode(PIXELS))) as image:
        assert (image.size, image.mode, image.format, image.info) == ((9, 7), "RGB", "PNG", {})
    kinds = []
    data = encode(PIXELS)[8:]
    while data:
        length = int.from_bytes(data[:4], "big")
        kinds.append(data[4:8])
        data = data[12 + length :]
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


def test_metadata_where_it_is_asked_for() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    data = encode(PIXELS, exif=exif.tobytes())
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x010F] == "a camera"
    assert np.array_equal(decode(data, 9, 7), PIXELS)


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (65_536, 1), (1, 65_536), (7_746, 7_746)])
def test_sizes_out_of_bounds(size: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="out of bounds"):
        check_size(*size)
    refused(png(size=size), size)


def test_another_size_than_announced() -> None:
    data = encode(PIXELS)
    for size in ((7, 9), (9, 8), (8, 7)):
        with pytest.raises(FormatError, match="manifest's size"):
            decode(data, *size)


def test_bombs() -> None:
    """Much in few bytes: more pixels than announced, a second header, text and profiles that unpack to gigabytes."""
    zeros = zlib.compress(bytes(64 << 20), 9)
    good = zlib.compress(b"".join(b"\x00" + bytes(27) for _ in range(7)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    end = chunk(b"IEND", b"")
    refused(png(header, chunk(b"IDAT", zeros), end))
    refused(png(chunk(b"zTXt", b"k\x00\x00" + zeros), chunk(b"zTXt", b"l\x00\x00" + zeros), chunk(b"IDAT", good), end))
    refused(png(chunk(b"IDAT", b"not deflate"), end))
    refused(png(chunk(b"IDAT", good[:-10])))
    refused(png())
    assert decode(png(chunk(b"IDAT", good), end), 9, 7).sum() == 0


def test_other_kinds_of_pictures() -> None:
    for mode in ("L", "RGBA", "P", "1", "I;16"):
        out = io.BytesIO()
        Image.new(mode, (9, 7)).save(out, "PNG")
        refused(out.getvalue())
    for kind in ("JPEG", "GIF", "BMP"):
        out = io.BytesIO()
        Image.fromarray(PIXELS).save(out, kind)
        refused(out.getvalue())
    refused(b"")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 4000))
def test_mutated_pictures(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(FILES[IMAGE])
    for at, value in changes:
        data[at % len(data)] = value
    data = data[: max(1, len(data) - cut)] if cut < 2000 else data
    try:
        assert decode(bytes(data), WIDTH, HEIGHT).shape == (HEIGHT, WIDTH, 3)
    except FormatError:
        return
