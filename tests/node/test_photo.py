"""Photos as files: what a viewer shows is what is read, and nothing else of the file travels on."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from pillow_heif import from_pillow, register_heif_opener

from ffem_chain.capture.picture import decode, encode
from ffem_chain.errors import InputError
from ffem_node.photo import MOST_PIXELS, load_photo, read_photo

Picture = np.ndarray
RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 200, 30), (20, 40, 220), (240, 240, 240)


@pytest.fixture
def quarters() -> Picture:
    """u8[48,80,3], another colour in every corner: it tells all eight orientations apart."""
    picture = np.empty((48, 80, 3), np.uint8)
    picture[:24, :40], picture[:24, 40:], picture[24:, :40], picture[24:, 40:] = RED, GREEN, BLUE, WHITE
    return picture


def save(folder: Path, image: Image.Image, name: str, **options: object) -> Path:
    path = folder / name
    if path.suffix == ".heic":
        from_pillow(image).save(path, quality=95, **options)
    else:
        image.save(path, **options)
    return path


def near(a: Picture, b: Picture, tolerance: float = 6) -> bool:
    return a.shape == b.shape and float(np.abs(a.astype(int) - b).mean()) < tolerance


# ------------------------------------------------------------------ formats


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 95}), ("a.jpg", {"quality": 95, "progressive": True}), ("a.png", {}),
        ("a.webp", {"lossless": True}), ("a.webp", {"quality": 90}), ("a.heic", {}),
    ],
)  # fmt: skip
def test_formats(name: str, options: dict[str, object], tmp_path: Path, quarters: Picture) -> None:
    pixels = load_photo(save(tmp_path, Image.fromarray(quarters), name, **options))
    assert pixels.dtype == np.uint8
    assert near(pixels, quarters, 8)
    if name == "a.png" or options.get("lossless"):
        assert np.array_equal(pixels, quarters)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_the_content_decides_not_the_name(name: str, tmp_path: Path, quarters: Picture) -> None:
    path = save(tmp_path, Image.fromarray(quarters), name)
    assert near(load_photo(path.rename(tmp_path / "photo.txt")), quarters)


_UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_orientation_is_obeyed(name: str, value: int, tmp_path: Path, quarters: Picture) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    path = save(tmp_path, Image.fromarray(quarters), name, exif=exif)
    assert near(load_photo(path), _UPRIGHT[value](quarters))


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_unknown_orientation_is_passed_over(value: int, tmp_path: Path, quarters: Picture) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert near(load_photo(save(tmp_path, Image.fromarray(quarters), "a.jpg", exif=exif)), quarters)


def test_heic_is_upright_once(tmp_path: Path, quarters: Picture) -> None:
    """HEIC keeps its turn in a box of its own, and cameras repeat it in EXIF: it may be applied only once."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.heic"
    register_heif_opener()  # its writer turns EXIF's orientation into the box, as cameras do
    Image.fromarray(quarters).save(path, "HEIF", quality=95, exif=exif.tobytes())
    assert near(load_photo(path), np.rot90(quarters, -1), 10)


# ------------------------------------------------------------------ modes


def test_transparency_lies_on_white(tmp_path: Path, quarters: Picture) -> None:
    alpha = np.full((48, 80), 255, np.uint8)
    alpha[:24, :40], alpha[24:, 40:] = 0, 128
    rgba = Image.fromarray(np.dstack([quarters, alpha]))
    pixels = load_photo(save(tmp_path, rgba, "a.png"))
    assert (pixels[:24, :40] == 255).all()
    assert np.array_equal(pixels[:24, 40:], quarters[:24, 40:])
    assert np.abs(pixels[30, 60].astype(int) - (np.array(WHITE) + 255) / 2).max() <= 2


def test_palette_grey_and_bilevel(tmp_path: Path, quarters: Picture) -> None:
    image = Image.fromarray(quarters)
    assert near(load_photo(save(tmp_path, image.quantize(8), "p.png")), quarters)
    grey = np.array(image.convert("L"))
    assert np.array_equal(load_photo(save(tmp_path, image.convert("L"), "l.png")), grey[..., None].repeat(3, 2))
    assert np.array_equal(load_photo(save(tmp_path, image.convert("1"), "b.png"))[0, 0], (0, 0, 0))
    clear = image.quantize(8)
    clear.info["transparency"] = int(np.array(clear)[0, 0])
    assert (load_photo(save(tmp_path, clear, "t.png", transparency=clear.info["transparency"]))[0, 0] == 255).all()


def test_sixteen_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 65_535, 64 * 32).astype(np.uint16).reshape(32, 64)
    pixels = load_photo(save(tmp_path, Image.fromarray(values), "deep.png"))
    assert np.abs(pixels[..., 0].astype(int) - values / 257).max() <= 0.51
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_cmyk(tmp_path: Path, quarters: Picture) -> None:
    path = save(tmp_path, Image.fromarray(quarters).convert("CMYK"), "c.jpg", quality=95)
    assert near(load_photo(path), quarters, 12)


def test_a_colour_profile_is_obeyed(tmp_path: Path, quarters: Picture) -> None:
    """A profile with swapped primaries turns red pixels blue; a viewer shows blue, and so must what is sealed."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    table = {
        bytes(srgb[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(int.from_bytes(srgb[128:132], "big"))
    }
    red, blue = table[b"rXYZ"], table[b"bXYZ"]
    srgb[red + 4 : red + 12], srgb[blue + 4 : blue + 12] = srgb[blue + 4 : blue + 12], srgb[red + 4 : red + 12]
    path = save(tmp_path, Image.fromarray(quarters), "a.png", icc_profile=bytes(srgb))
    assert near(load_photo(path), quarters[..., ::-1], 8)


@pytest.mark.parametrize("profile", [b"", b"nonsense", bytes(200)])
def test_a_damaged_profile_is_passed_over(profile: bytes, tmp_path: Path, quarters: Picture) -> None:
    path = save(tmp_path, Image.fromarray(quarters), "a.png", icc_profile=profile)
    assert np.array_equal(load_photo(path), quarters)


# ------------------------------------------------------------------ metadata

SECRETS = (b"SERIAL-4711", b"Jane Doe", b"at home", b"xpacket", b"THUMBNAIL", b"a comment")


def camera_file(folder: Path, quarters: Picture, suffix: str) -> Path:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x013B], exif[0x010E] = "Maker", "Model 7", "Jane Doe", "at home"
    inner = exif.get_ifd(0x8769)
    inner[0x829A], inner[0x829D], inner[0x8827], inner[0x920A] = 0.004, 2.8, 200, 35.0
    inner[0x9003], inner[0x9011] = "2024:05:06 07:08:09", "+02:00"
    inner[0xA431], inner[0x927C], inner[0x9286] = "SERIAL-4711", b"THUMBNAIL", b"ASCII\0\0\0a comment"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (52.0, 31.0, 7.0), "E", (13.0, 24.0, 18.0)
    options: dict[str, object] = {"exif": exif.tobytes()}
    if suffix == "jpg":
        options |= {"comment": b"a comment", "xmp": b"<?xpacket Jane Doe?>"}
    if suffix == "png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "Jane Doe")
        text.add_itxt("XML:com.adobe.xmp", "<?xpacket?>")
        options["pnginfo"] = text
    if suffix == "webp":
        options["xmp"] = b"<?xpacket Jane Doe?>"
    options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return save(folder, Image.fromarray(quarters), f"camera.{suffix}", **options)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_metadata_is_stripped(suffix: str, tmp_path: Path, quarters: Picture) -> None:
    path = camera_file(tmp_path, quarters, suffix)
    assert any(secret in path.read_bytes() for secret in SECRETS), "the test's own file must hold some"
    png = encode(load_photo(path))
    kinds, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    assert not any(secret in png for secret in SECRETS)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_what_may_be_kept_is_harmless(suffix: str, tmp_path: Path, quarters: Picture) -> None:
    found = read_photo(camera_file(tmp_path, quarters, suffix))
    assert not any(secret in found.exif for secret in SECRETS)
    png = encode(found.pixels, exif=found.exif)
    kept = Image.open(io.BytesIO(png)).getexif()
    assert dict(kept).keys() == {0x010F, 0x0110, 0x8769}
    assert (kept[0x010F], kept[0x0110]) == ("Maker", "Model 7")
    inner = kept.get_ifd(0x8769)
    assert inner.keys() == {0x829A, 0x829D, 0x8827, 0x920A, 0x9003, 0x9011}
    assert inner[0x9003] == "2024:05:06 07:08:09"
    assert not kept.get_ifd(0x8825)
    height, width = found.pixels.shape[:2]
    assert np.array_equal(decode(png, width, height), found.pixels)


def test_kept_fields_cannot_carry_a_picture(tmp_path: Path, quarters: Picture) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "x" * 65, "line\nbreak"
    path = save(tmp_path, Image.fromarray(quarters), "a.jpg", exif=exif)
    assert read_photo(path).exif == b""


# ------------------------------------------------------------------ bad input


def refused(path: Path, match: str, *, seconds: float = 5, mib: float = 64, **options: int) -> None:
    """One InputError that names the file, soon and without much memory."""
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(InputError, match=match) as caught:
            load_photo(path, **options)
        assert str(path) in caught.value.message
        assert time.process_time() - began < seconds
        assert tracemalloc.get_traced_memory()[1] < mib * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.heic"])
def test_truncated_at_any_length(name: str, tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = save(tmp_path, Image.fromarray(noisy), name).read_bytes()
    cut = tmp_path / "cut"
    for share in (0.002, 0.01, 0.1, 0.5, 0.9):
        cut.write_bytes(data[: max(1, int(share * len(data)))])
        refused(cut, "damaged|cut short|no picture")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.heic"])
def test_damaged_bytes_never_give_a_traceback(name: str, tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    data = save(tmp_path, Image.fromarray(noisy), name).read_bytes()
    rng, damaged = np.random.default_rng(1), tmp_path / "damaged"
    for _ in range(40):
        wrong = bytearray(data)
        for at in rng.integers(0, len(data), 6):
            wrong[at] = rng.integers(256)
        damaged.write_bytes(wrong)
        try:
            pixels = load_photo(damaged)
        except InputError:
            continue
        assert pixels.dtype == np.uint8  # a JPEG may bear it


def test_what_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.jpg", "no such file")
    refused(tmp_path, "folder")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    refused(empty, "empty")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, "pipe or a device")
    refused(Path("/dev/zero"), "pipe or a device")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused(loop, "cannot be read")
    refused(tmp_path / "a\0b", "cannot be read")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, quarters: Picture) -> None:
    path = save(tmp_path, Image.fromarray(quarters), "a.png")
    path.chmod(0)
    refused(path, "may not be read")


@pytest.mark.parametrize(
    "data", [b"hello, this is text\n" * 50, b"%PDF-1.7" + bytes(900), b"GIF89a" + bytes(99), b"II*\0" + bytes(99)]
)
def test_other_kinds_of_files(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    refused(path, "no picture that can be sealed")


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_animations(name: str, tmp_path: Path, quarters: Picture) -> None:
    frames = [Image.fromarray(np.roll(quarters, 9 * i, axis=1)) for i in range(3)]
    path = save(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    refused(path, "animated")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that announces width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(10_001, 5_000), (60_000, 60_000), (65_536, 10), (1_000_000, 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(width: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(width, height))
    refused(path, "too many|far too large", seconds=1, mib=8)
    assert MOST_PIXELS == 50_000_000


def test_a_bomb_in_a_text_chunk(tmp_path: Path) -> None:
    """64 MiB of text that pack into 64 KiB."""
    body = b"Comment\0\0" + zlib.compress(bytes(64 << 20))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    data = bomb(4, 4)
    path = tmp_path / "text.png"
    path.write_bytes(data[:33] + chunk + data[33:])
    refused(path, "damaged")


def test_too_many_bytes(tmp_path: Path, quarters: Picture) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(257 << 20)  # sparse: it takes no disk
    refused(path, "257 MiB", mib=4)
    small = save(tmp_path, Image.fromarray(quarters), "a.png")
    refused(small, "at most 0 MiB", most_bytes=10)
    refused(small, "80 x 48 pixels are too many", most_pixels=3000)
