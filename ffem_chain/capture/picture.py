"""image.png: 8-bit RGB, its size read from the header and compared before a decoder sees it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ffem_chain.capture.model import MAX_PIXELS, MAX_SIDE
from ffem_chain.errors import FormatError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8sI4sIIBBBBBI")


def check_size(width: int, height: int) -> None:
    """Raise FormatError where a picture is empty or larger than 65,535 px a side or 60 megapixels."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise FormatError(f"a picture of {width} x {height} pixels is out of bounds", "at most 60 megapixels")


def check_png(data: bytes, width: int, height: int) -> None:
    """Raise FormatError unless the header of `data` is that of an 8-bit RGB PNG of this size without interlacing."""
    if len(data) < _HEADER.size:
        raise FormatError("image.png is shorter than a PNG header")
    signature, length, kind, *size, depth, colour, deflate, filters, interlace, crc = _HEADER.unpack_from(data)
    if signature != _SIGNATURE or length != 13 or kind != b"IHDR" or crc != zlib.crc32(data[12:29]):
        raise FormatError("image.png does not begin with a PNG header")
    if (depth, colour, deflate, filters, interlace) != (8, 2, 0, 0, 0):
        raise FormatError("image.png is not an 8-bit RGB PNG without interlacing")
    if size != [width, height]:
        raise FormatError(f"image.png is not of the manifest's size, {width} x {height}")


def decode(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Pixels u8[H, W, 3] of a PNG that must have the given size. Raises FormatError."""
    check_png(data, width, height)
    check_size(width, height)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            # A second header further on in the file would change the size that the first one announced.
            if image.size != (width, height) or image.mode != "RGB":
                raise FormatError("image.png contradicts its own header")
            image.load()
            if image.size != (width, height) or image.mode != "RGB":
                raise FormatError("image.png contradicts its own header")
            return np.array(image, dtype=np.uint8)
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise FormatError(f"image.png cannot be decoded: {type(error).__name__}") from error


def encode(pixels: NDArray[np.uint8], *, exif: bytes = b"", compress_level: int = 6) -> bytes:
    """PNG of u8[H, W, 3] RGB, without metadata but `exif`, a chunk eXIf. Raises FormatError where it is too large."""
    check_size(pixels.shape[1], pixels.shape[0])
    out, extra = io.BytesIO(), {"exif": exif} if exif else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", compress_level=compress_level, **extra)
    return out.getvalue()
