"""The strict reader: what `to_files` writes is read, nothing else is, and nothing costs before it is checked."""

from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
import zlib
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from ffem_chain.capture.format import LIMITS, read_manifest
from ffem_chain.capture.model import MAX_FACES, PRECISIONS, SIZES, Box, Capture
from ffem_chain.errors import FormatError, Tampered

from .support import CAPTURE, FACES, FILES, IMAGE, MANIFEST, POSE, canonical, vouched, with_manifest, with_pose


def refused(files: dict[str, bytes], match: str = ".") -> None:
    with pytest.raises(FormatError, match=match):
        Capture.from_files(files)


def test_round_trip() -> None:
    assert Capture.from_files(FILES).to_files() == FILES
    assert vouched() == FILES


def test_sizes_follow_from_the_boxes() -> None:
    head, face, box = CAPTURE.manifest, CAPTURE.faces[0], CAPTURE.public_faces[0].box
    assert len(face.z) == 3 * head.size**2 * PRECISIONS[head.precision] // 8
    assert len(face.exact) == 3 * box.width * box.height + 48
    assert len(face.geometry) == 24 * 8 + 16


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rotation", ["sphere", "block"])
def test_all_sizes_and_precisions_that_the_format_has(size: int, precision: str, rotation: str) -> None:
    """The 128 px model and the other precisions need no other version."""
    head = replace(CAPTURE.manifest, size=size, precision=precision, rotation=rotation)
    assert 3 * size * size * PRECISIONS[precision] % 8 == 0
    faces = tuple(replace(face, z=bytes(head.latent_bytes)) for face in CAPTURE.faces)
    files = replace(CAPTURE, manifest=head, faces=faces).to_files()
    again = Capture.from_files(files)
    assert (again.manifest.size, again.manifest.precision, again.manifest.rotation) == (size, precision, rotation)
    assert again.to_files() == files


def test_no_faces_and_only_covered_ones() -> None:
    for public in ((), tuple(replace(face, sealed=False) for face in CAPTURE.public_faces)):
        files = replace(CAPTURE, public_faces=public, faces=()).to_files()
        assert Capture.from_files(files).to_files() == files


def test_missing_or_additional_files() -> None:
    for name in FILES:
        refused({n: d for n, d in FILES.items() if n != name}, "four files")
    refused({**FILES, "more.txt": b""}, "four files")
    refused({}, "four files")


def test_a_file_that_is_not_the_manifests() -> None:
    for name in (IMAGE, POSE, FACES):
        for data in (FILES[name] + b"\x00", FILES[name][:-1], b""):
            with pytest.raises(Tampered, match=name.replace(".", r"\.")):
                Capture.from_files({**FILES, name: data})


@pytest.mark.parametrize("name", [IMAGE, POSE, FACES, MANIFEST])
def test_files_beyond_their_limit_are_refused_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, name, len(FILES[name]) - 1)
    refused(FILES, "too large")


# ---------------------------------------------------------------- manifest


def test_every_field_of_the_manifest_is_checked() -> None:
    """Each value replaced by values of other kinds and by ones out of range."""
    good = json.loads(FILES[MANIFEST])
    wrong = [None, True, False, -1, 1 << 64, 1.0, 0.5, "", "x" * 64, "AB" * 32, [], {}, [1], {"a": 1}]
    for name, value in good.items():
        for other in wrong:
            if other == value and type(other) is type(value):
                continue
            refused(with_manifest(lambda head, n=name, o=other: head.update({n: o})))
        refused(with_manifest(lambda head, n=name: head.pop(n)))
    refused(with_manifest(lambda head: head.update(more=1)), "other fields")


@pytest.mark.parametrize("version", [0, 2, "1", True, 1.0, [1], None])
def test_other_versions_are_named(version: Any) -> None:
    for files in (
        with_manifest(lambda head: head.update(version=version)),
        with_pose(lambda pose: pose.update(version=version)),
        vouched(faces=cbor2.dumps({**cbor2.loads(FILES[FACES]), "version": version})),
    ):
        refused(files)
    with pytest.raises(FormatError, match="unknown version 2") as caught:
        Capture.from_files(with_manifest(lambda head: head.update(version=2)))
    assert caught.value.hint == "update ffem-chain"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("epoch", 1, (1 << 32) - 1),
        ("slot", 0, (1 << 32) - 1),
    ],
)
def test_ranges_of_the_manifest(name: str, low: int, high: int) -> None:
    for value in (low, high):
        files = with_manifest(lambda head, v=value: head.update({name: v}))
        assert Capture.from_files(files).to_files() == files
    for value in (low - 1, high + 1):
        refused(with_manifest(lambda head, v=value: head.update({name: v})), "out of range")


def test_pictures_out_of_bounds() -> None:
    for width, height in ((0, 30), (46, 0), (65_536, 1), (65_535, 65_535), (10_000, 6_001)):
        refused(with_manifest(lambda head, w=width, h=height: head.update(width=w, height=h)))
    refused(with_manifest(lambda head: head.update(width=47)), "not in the picture or not on its grid")
    refused(with_manifest(lambda head: head.update(faces=MAX_FACES + 1)), "number of faces")


def test_json_has_one_form_only() -> None:
    """Spaces, another order, names twice, other spellings of numbers and letters: another form, so refused."""
    for name, text in ((MANIFEST, FILES[MANIFEST].decode()), (POSE, FILES[POSE].decode())):
        others = [
            text.replace(",", ", ", 1),
            text[:-1],
            text + "\n",
            "\ufeff" + text,
            text.replace("{", '{"version":1,', 1),
            text.replace('"version"', '"\\u0076ersion"'),
            text.replace("0.0", "0.00").replace("46", "46e0"),
            json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")) + "\n",
            text.replace("1}", "NaN}"),
            text.replace("1}", "1" + "0" * 5000 + "}"),
            "[" * 50_000,
            '{"a":' * 50_000,
            "",
        ]
        for other in others:
            if other != text:
                data = other.encode()
                files = {**FILES, MANIFEST: data} if name == MANIFEST else vouched(pose=data)
                refused(files)
    refused({**FILES, MANIFEST: FILES[MANIFEST].decode().encode("utf-16")})


def test_the_manifest_is_bounded_before_it_is_parsed() -> None:
    with pytest.raises(FormatError, match="too large"):
        read_manifest(b" " * (64 << 10) + b"{}")


# ---------------------------------------------------------------- pose


def test_every_field_of_a_face_in_pose_is_checked() -> None:
    good = json.loads(FILES[POSE])["faces"][0]
    wrong = [None, 1 << 40, 1e300, 0.5, "", [], {}, [0, 0], [0, 0, 0, 0.5], ["0"] * 4, [True] * 4, [0.0] * 5]
    for name in good:
        for other in wrong:
            refused(with_pose(lambda pose, n=name, o=other: pose["faces"][0].update({n: o})))
        refused(with_pose(lambda pose, n=name: pose["faces"][0].pop(n)))
    refused(with_pose(lambda pose: pose["faces"][0].update(more=1)))
    refused(with_pose(lambda pose: pose["faces"].pop()))
    refused(with_pose(lambda pose: pose.update(faces={})))
    refused(with_pose(lambda pose: pose["faces"].append(pose["faces"][0])))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("yaw", 1),
        ("yaw", 183),
        ("pitch", -2),
        ("roll", 3.0),
        ("alignment", [12.0, 12.0, -1.95, 3.5]),
        ("alignment", [12.0, 12.0, -1.951, 3.0]),
        ("alignment", [12.5, 12.0, -1.95, 3.0]),
        ("alignment", [13.0, 12.0, -1.95, 3.0]),
        ("alignment", [12.0, 12.0, 20.05, 3.0]),
        ("alignment", [12.0, 300_000.0, -1.95, 3.0]),
        ("alignment", [12, 12.0, -1.95, 3.0]),
        ("sealed", 1),
        ("box", [5, 4, 16, 20]),
        ("box", [4, 4, 15, 20]),
        ("box", [4, 4, 0, 20]),
        ("box", [4, 4, 16, 28]),
        ("box", [48, 4, 16, 20]),
        ("box", [-4, 4, 16, 20]),
        ("box", [4, 4, 16, 20.0]),
    ],
)
def test_what_is_public_is_no_finer_than_it_may_be(field: str, value: Any) -> None:
    """A pose finer than documented would tell more about a face than promised (P2)."""
    refused(with_pose(lambda pose: pose["faces"][0].update({field: value})))


def test_boxes_on_the_grid_may_end_with_the_picture() -> None:
    assert Box(36, 12, 10, 18).check(46, 30) == Box(36, 12, 10, 18)
    for box in (Box(36, 12, 9, 18), Box(34, 12, 12, 18), Box(36, 12, 10, 17), Box(36, 12, 11, 18)):
        with pytest.raises(FormatError):
            box.check(46, 30)


# ---------------------------------------------------------------- faces


def changed_faces(change: Any) -> dict[str, bytes]:
    content = cbor2.loads(FILES[FACES])
    change(content)
    return vouched(faces=cbor2.dumps(content))


def test_every_field_of_a_face_is_checked() -> None:
    for position in range(7):
        for other in (None, -1, 1.5, "", b"", [], {}, True, 1 << 70):
            refused(changed_faces(lambda c, p=position, o=other: c["faces"][0].__setitem__(p, o)))
        if position:
            longer = cbor2.loads(FILES[FACES])["faces"][0][position] + b"\x00"
            refused(changed_faces(lambda c, p=position, o=longer: c["faces"][0].__setitem__(p, o)), "wrong length")
            refused(changed_faces(lambda c, p=position, o=longer[:-2]: c["faces"][0].__setitem__(p, o)))
    refused(changed_faces(lambda c: c["faces"].pop()))
    refused(changed_faces(lambda c: c["faces"].reverse()))
    refused(changed_faces(lambda c: c["faces"][1].__setitem__(0, 2)))  # that one was covered for ever
    refused(changed_faces(lambda c: c["faces"][0].append(b"")))
    refused(changed_faces(lambda c: c.update(more=1)))
    refused(changed_faces(lambda c: c.pop("version")))


def test_cbor_has_one_form_only() -> None:
    data = FILES[FACES]
    assert data[:8] == b"\xa2\x65faces\x82"
    indefinite = b"\xbf" + data[1:] + b"\xff"
    long_head = b"\xb8\x02" + data[1:]
    twice = b"\xa3" + data[1:] + b"\x67version\x01"
    tagged = b"\xd9\xd9\xf7" + data
    content = cbor2.loads(data)
    other_order = b"\xa2" + b"\x67version\x01" + b"\x65faces" + cbor2.dumps(content["faces"])
    for other in (indefinite, long_head, twice, tagged, other_order, data + b"\x00", data[:-1]):
        refused(vouched(faces=other))
    refused(vouched(faces=tagged), "kind of CBOR")  # before a decoder builds what the tag names


@pytest.mark.parametrize(
    "head", ["9b00000001ffffffff", "5b00000001ffffffff", "bb00000001ffffffff", "9bffffffffffffffff", "c25a7fffffff"]
)
def test_announced_lengths_allocate_nothing(head: str) -> None:
    """At the place of the faces, in a file of the right size."""
    data = bytes.fromhex("a2656661636573" + head)
    data += bytes(len(FILES[FACES]) - len(data))
    tracemalloc.start()
    refused(vouched(faces=data), "truncated|more than 22 items|kind of CBOR")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_faces_of_another_size_are_refused_before_they_are_parsed() -> None:
    refused(vouched(faces=FILES[FACES] + bytes(1000)), "size that the boxes ask for")
    refused(vouched(faces=b""), "size that the boxes ask for")


def test_large_boxes_cannot_ask_for_memory() -> None:
    """A pose may name faces as large as the picture; faces.cbor would have to be as large."""
    huge = Box(0, 0, 44, 28)
    public = tuple(replace(CAPTURE.public_faces[0], box=huge) for _ in range(6))
    files = replace(CAPTURE, public_faces=public).to_files()
    refused(files, "size that the boxes ask for")


# ---------------------------------------------------------------- picture


def _header(**changes: int) -> bytes:
    fields = {"width": 46, "height": 30, "depth": 8, "colour": 2, "deflate": 0, "filters": 0, "interlace": 0}
    return struct.pack(">IIBBBBB", *{**fields, **changes}.values())


@pytest.mark.parametrize(
    "change",
    [
        {"width": 45},
        {"height": 31},
        {"width": 1 << 31},
        {"depth": 16},
        {"colour": 6},
        {"colour": 3},
        {"interlace": 1},
        {"deflate": 1},
        {"filters": 1},
    ],
)
def test_pictures_of_another_kind(change: dict[str, int]) -> None:
    head = b"IHDR" + _header(**change)
    data = FILES[IMAGE][:12] + head + zlib.crc32(head).to_bytes(4, "big") + FILES[IMAGE][33:]
    refused(vouched(image=data), r"image\.png")


def test_a_flipped_bit_in_the_pictures_header() -> None:
    for position in range(8 * 33):
        data = bytearray(FILES[IMAGE])
        data[position // 8] ^= 1 << position % 8
        refused(vouched(image=bytes(data)), r"image\.png")
    for length in range(33):
        refused(vouched(image=FILES[IMAGE][:length]), r"image\.png")


def test_the_digests_are_of_the_bytes() -> None:
    head = json.loads(FILES[MANIFEST])
    assert head["files"] == {name: hashlib.sha256(FILES[name]).hexdigest() for name in (IMAGE, POSE, FACES)}
    assert canonical(head) == FILES[MANIFEST]


def test_face_indices() -> None:
    assert [face.index for face in CAPTURE.faces] == [0, 1]
    with pytest.raises(FormatError, match="too small"):
        CAPTURE.face(2)
    for index in (-1, 3, 1000):
        with pytest.raises(FormatError, match="there is no face"):
            CAPTURE.face(index)
