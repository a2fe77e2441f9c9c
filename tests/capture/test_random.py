"""Random and nearly right files: only FormatError and Tampered come out, and what is accepted is canonical."""

from __future__ import annotations

import json
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from ffem_chain.capture.model import Capture
from ffem_chain.errors import FormatError, Tampered

from .support import FACES, FILES, IMAGE, MANIFEST, POSE, canonical, vouched

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from([0, 1, 3, 4, 64, 128]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=10,
)
CBOR = st.recursive(
    st.one_of(st.none(), st.integers(), st.binary(max_size=40), st.text(max_size=8), st.floats(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=7), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)
EDITS = st.lists(st.tuples(st.integers(0, 60_000), st.binary(max_size=6), st.integers(0, 6)), min_size=1, max_size=4)


def read(files: dict[str, bytes]) -> None:
    """Reads; accepted files are written again byte for byte."""
    try:
        capture = Capture.from_files(files)
    except (FormatError, Tampered):
        return
    assert capture.to_files() == files


def edited(data: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    """Pieces of `data` replaced, inserted or taken out."""
    changed = bytearray(data)
    for at, part, length in edits:
        place = at % (len(changed) + 1)
        changed[place : place + length] = part
    return bytes(changed)


def placed(value: Any, path: list[int], new: Any) -> Any:
    """`value` with what `path` leads to replaced; numbers choose among keys or items."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    keys = sorted(value) if isinstance(value, dict) else range(len(value))
    key = keys[path[0] % len(keys)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = placed(value[key], path[1:], new)
    return copy


PATHS = st.lists(st.integers(0, 20), max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([IMAGE, POSE, FACES, MANIFEST]), EDITS)
def test_edited_bytes(name: str, edits: list[tuple[int, bytes, int]]) -> None:
    data = edited(FILES[name], edits)
    read({**FILES, name: data})
    if name != MANIFEST:
        read(vouched(**{name.split(".")[0]: data}))


@settings(max_examples=300, deadline=None)
@given(PATHS, JSON)
def test_manifests_with_another_value_somewhere(path: list[int], value: Any) -> None:
    read({**FILES, MANIFEST: canonical(placed(json.loads(FILES[MANIFEST]), path, value))})


@settings(max_examples=300, deadline=None)
@given(PATHS, JSON)
def test_poses_with_another_value_somewhere(path: list[int], value: Any) -> None:
    read(vouched(pose=canonical(placed(json.loads(FILES[POSE]), path, value))))


@settings(max_examples=200, deadline=None)
@given(PATHS, CBOR)
def test_faces_with_another_value_somewhere(path: list[int], value: Any) -> None:
    read(vouched(faces=cbor2.dumps(placed(cbor2.loads(FILES[FACES]), path, value))))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*FILES, "more"]), st.one_of(st.binary(max_size=300), JSON.map(canonical))))
def test_any_files(files: dict[str, bytes]) -> None:
    read(files)
    read({**FILES, **files})
