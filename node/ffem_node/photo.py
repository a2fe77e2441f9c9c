"""Reading a photograph: JPEG, PNG, WebP or HEIC to pixels, and nothing else of it.

The size is taken from the header and checked before anything is decoded. Orientation and colour profile are obeyed, and
transparency lies on white, so what is sealed is what a viewer shows. Metadata never travels with the pixels: EXIF holds
an open thumbnail of the faces, the place and the camera's serial number. What may be kept on request is `_KEPT`.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError
from PIL.TiffImagePlugin import IFDRational

from ffem_chain.capture.model import MAX_SIDE
from ffem_chain.errors import InputError, MissingExtra

MOST_PIXELS = 50_000_000
MOST_BYTES = 256 << 20
_FORMATS = "a photo is a JPEG, PNG, WebP or HEIC file"
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, IndexError, KeyError, struct.error, zlib.error)
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What may be kept on request: when, with which make and model, how exposed. No thumbnail, no maker note, no place, no
# names, no serial numbers, no free text.
_KEPT_MAIN = (ExifTags.Base.Make, ExifTags.Base.Model)
_KEPT = (
    ExifTags.Base.ExposureTime,
    ExifTags.Base.FNumber,
    ExifTags.Base.ISOSpeedRatings,
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.OffsetTimeOriginal,
    ExifTags.Base.FocalLength,
)
_LONGEST_TEXT = 64


@dataclass(frozen=True)
class Photo:
    """`pixels` u8[H,W,3] sRGB, upright; `exif` the metadata that may be kept, an EXIF block, empty where none is;
    `digest` the SHA-256 of the file, empty for pixels that come from none."""

    pixels: NDArray[np.uint8]
    exif: bytes
    digest: bytes = b""


def load_photo(path: Path | str, *, most_pixels: int = MOST_PIXELS, most_bytes: int = MOST_BYTES) -> NDArray[np.uint8]:
    """The pixels of a photo as a viewer shows it, u8[H,W,3] sRGB. Errors: see `read_photo`."""
    return read_photo(path, most_pixels=most_pixels, most_bytes=most_bytes).pixels


def read_photo(path: Path | str, *, most_pixels: int = MOST_PIXELS, most_bytes: int = MOST_BYTES) -> Photo:
    """Read a photo of at most `most_bytes` bytes and `most_pixels` pixels.

    InputError where the file cannot be read or is no regular file (a folder, a pipe, a device), is empty, damaged,
    truncated, animated, too large or of another format; MissingExtra for HEIC without pillow-heif.
    """
    path = Path(path)
    data = _read_file(path, most_bytes)
    with _explained(path), _opened(data, path) as image:
        _check(image, path, most_pixels)
        image.load()
        _check(image, path, most_pixels)  # a HEIC's size may change as it is decoded
        return Photo(_upright(image), _kept(image), hashlib.sha256(data).digest())


def photo_digest(path: Path | str) -> bytes:
    """The `Photo.digest` of a photo's file, without decoding it. Raises InputError like `read_photo`."""
    return hashlib.sha256(_read_file(Path(path), MOST_BYTES)).digest()


def _read_file(path: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file. Opening a pipe would wait for ever, and a device may never end."""
    try:
        _refuse_special(path, os.stat(path).st_mode)  # noqa: PTH116
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            _refuse_special(path, found.st_mode)
            if found.st_size > most_bytes:
                raise InputError(f"{path}: {found.st_size >> 20} MiB; a photo has at most {most_bytes >> 20} MiB")
            data = file.read(found.st_size + 1)  # not `most_bytes`: that much memory would be taken at once
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except PermissionError:
        raise InputError(f"{path}: it may not be read", "check the permissions of the file and its folders") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: it cannot be read: {reason}") from None
    if len(data) > found.st_size:
        raise InputError(f"{path}: the file grows while it is read", "wait until it is complete")
    if not data:
        raise InputError(f"{path}: the file is empty")
    return data


def _refuse_special(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: it is a folder", "name the photos in it")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: it is a pipe or a device, not a file")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What a decoder raises on damaged bytes, as one InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError:
        raise InputError(f"{path}: the picture is far too large", _at_most(MOST_PIXELS)) from None
    except _BROKEN:
        raise InputError(f"{path}: the file is damaged or cut short", "copy it from the camera again") from None


def _at_most(pixels: int) -> str:
    return f"at most {pixels // 1_000_000} megapixels"


def _opened(data: bytes, path: Path) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    try:
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
            return _heif_type()(io.BytesIO(data))
        return Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"])
    except UnidentifiedImageError:
        if data[:2] == b"\xff\xd8" or data[:8] == b"\x89PNG\r\n\x1a\n" or data[8:12] == b"WEBP":
            raise InputError(f"{path}: the file is damaged or cut short", "copy it from the camera again") from None
        raise InputError(f"{path}: the file is no picture that can be sealed", _FORMATS) from None


def _heif_type() -> Callable[[io.BytesIO], Image.Image]:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise MissingExtra("HEIC pictures need pillow-heif", "pip install 'ffem-chain[faces]'") from None
    kind: Callable[[io.BytesIO], Image.Image] = HeifImageFile
    return kind


def _check(image: Image.Image, path: Path, most_pixels: int) -> None:
    """InputError for sizes out of bounds and for animations. A HEIC or a JPEG of several pictures is its main one."""
    width, height = image.size
    if width * height > most_pixels or max(width, height) > MAX_SIDE:
        raise InputError(f"{path}: {width} x {height} pixels are too many", _at_most(most_pixels))
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{path}: the picture is animated", "seal a still picture")


def _upright(image: Image.Image) -> NDArray[np.uint8]:
    """Decoded picture of any mode -> u8[H,W,3] sRGB, turned as its EXIF orientation says."""
    turn = _TURNS.get(_orientation(image))
    image = _flat(image)
    if turn is not None:
        image = image.transpose(turn)
    return np.array(image, dtype=np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1  # a damaged EXIF block says nothing; the picture itself is whole
    return value if isinstance(value, int) else 1


def _flat(image: Image.Image) -> Image.Image:
    """RGB in sRGB, on white where it is transparent."""
    profile = image.info.get("icc_profile")
    alpha = None
    if image.mode.startswith("I"):
        image, alpha = _eight_bits(image)
    elif image.mode in ("P", "PA", "RGBa", "LA", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        image, alpha = image.convert("RGB"), image.getchannel("A")
    colour = _in_srgb(image, profile)
    if alpha is None:
        return colour
    white = Image.new("RGB", colour.size, (255, 255, 255))
    white.paste(colour, mask=alpha)
    return white


def _eight_bits(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 16 bits -> (grey of 8 bits, its transparency)."""
    values = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
    grey = Image.fromarray(((values * 255 + 32_767) // 65_535).astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """RGB through the picture's colour profile; a damaged profile or one of other channels is passed over."""
    if isinstance(profile, bytes) and profile and image.mode in ("RGB", "L", "CMYK"):
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = embedded.profile.xcolor_space.strip()
            if space == {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}[image.mode]:
                srgb = ImageCms.createProfile("sRGB")
                intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
                turned = ImageCms.profileToProfile(image, embedded, srgb, renderingIntent=intent, outputMode="RGB")
                if turned is not None:
                    return turned
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _kept(image: Image.Image) -> bytes:
    """An EXIF block made anew with what may be kept of the picture's; empty where there is nothing."""
    kept = Image.Exif()
    try:
        exif = image.getexif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in _KEPT_MAIN:
            if _harmless(exif.get(tag)):
                kept[tag] = exif[tag]
        found = {int(tag): inner[tag] for tag in _KEPT if _harmless(inner.get(tag))}
        if found:
            kept.get_ifd(ExifTags.IFD.Exif).update(found)
        return kept.tobytes() if kept or found else b""
    except _BROKEN:
        return b""


def _harmless(value: object) -> bool:
    """A number, or a short plain text: nothing that could carry a picture."""
    if isinstance(value, str):
        return 0 < len(value) <= _LONGEST_TEXT and value.isascii() and value.isprintable()
    return isinstance(value, int | float | IFDRational)
