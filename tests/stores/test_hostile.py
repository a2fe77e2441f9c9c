"""Directories made to hurt the reader. Every block matches its CID: whoever names the CID chose the blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ffem_chain.errors import FormatError, StoreUnavailable, Tampered
from ffem_chain.stores import unixfs
from ffem_chain.stores.cid import DAG_PB, RAW, Cid, cid_of_digest, digest_of_cid
from ffem_chain.stores.dagpb import DIRECTORY, FILE, Link, Node, decode, encode, file_node, varint
from ffem_chain.stores.memory import MemoryStore


class Dag:
    """Blocks by CID, as a daemon would give them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.fetched: list[Cid] = []
        original = self.store._fetch

        def counting(cid: Cid) -> bytes:
            self.fetched.append(cid)
            return original(cid)

        self.store._fetch = counting  # type: ignore[method-assign]

    def block(self, codec: int, data: bytes) -> Cid:
        cid = Cid.of(codec, data)
        self.store.blocks[cid] = data
        return cid

    def node(self, node: Node) -> Cid:
        return self.block(DAG_PB, encode(node))

    def directory(self, *entries: tuple[str, Cid]) -> str:
        return str(self.node(Node(DIRECTORY, tuple(Link(cid, name, 0) for name, cid in entries))))

    def refused(self, root: str, words: str, *, kind: type[Exception] = FormatError) -> None:
        """Every way to read the directory refuses it, and asking whether it is there does not harm."""
        with pytest.raises(kind, match=words):
            self.store.get(root)
        with pytest.raises(kind, match=words):
            unixfs.Reader(self.store._fetch, unixfs.MAX_BYTES).walk(Cid.parse(root))


@pytest.fixture
def dag() -> Dag:
    return Dag()


def _raw(dag: Dag, size: int = 4) -> Cid:
    return dag.block(RAW, os.urandom(size))


# ---------------------------------------------------------------------- sizes


def test_a_huge_announced_size_is_refused_before_anything_is_fetched_for_it(dag: Dag) -> None:
    leaf = Cid.of(RAW, b"nobody has this")
    for size in (unixfs.MAX_BYTES + 1, 1 << 40, (1 << 62) - 1):
        top = dag.node(file_node([(leaf, 0, size)]))
        dag.fetched.clear()
        dag.refused(dag.directory(("image.png", top)), "larger than this reader allows")
        assert leaf not in dag.fetched


def test_many_files_share_one_bound(dag: Dag) -> None:
    leaf = _raw(dag, 1000)
    root = dag.directory(*((f"file{number}", leaf) for number in range(10)))
    assert len(dag.store.get(root, max_bytes=10_000)) == 10
    with pytest.raises(FormatError, match="larger than this reader allows"):
        dag.store.get(root, max_bytes=9_999)


@pytest.mark.parametrize("announced", [3, 5, 0, 1 << 20])
def test_a_leaf_of_another_size_than_announced_is_refused(dag: Dag, announced: int) -> None:
    top = dag.node(file_node([(_raw(dag), 4, announced), (_raw(dag), 4, 4)]))
    dag.refused(dag.directory(("image.png", top)), "not of the size|not a plain file")


@pytest.mark.parametrize("announced", [3, 5, 1 << 20])
def test_an_inner_node_of_another_size_than_announced_is_refused(dag: Dag, announced: int) -> None:
    inner = dag.node(file_node([(_raw(dag), 4, 4)]))
    top = dag.node(file_node([(inner, 4, announced)]))
    dag.refused(dag.directory(("image.png", top)), "not of the size")


def test_parts_without_bytes_are_refused(dag: Dag) -> None:
    """They would let the same file stand under many CIDs, and a small file hold any number of blocks."""
    top = dag.node(file_node([(_raw(dag, 0), 0, 0), (_raw(dag), 4, 4)]))
    dag.refused(dag.directory(("image.png", top)), "not a plain file")


def test_a_block_larger_than_any_is_refused(dag: Dag) -> None:
    dag.refused(dag.directory(("image.png", _raw(dag, unixfs.MAX_BLOCK + 1))), "block is larger")
    assert dag.store.get(dag.directory(("image.png", _raw(dag, unixfs.MAX_BLOCK))))


def test_equal_crumbs_without_end_are_refused_after_a_bounded_number_of_questions(dag: Dag) -> None:
    """8,000 links to one node with 8,000 links to one byte announce 64 MB, and are 64 million blocks."""
    crumb = dag.block(RAW, b"x")
    inner = dag.node(file_node([(crumb, 1, 1)] * 8_000))
    root = dag.directory(("image.png", dag.node(file_node([(inner, 8_000, 8_000)] * 8_000))))
    dag.fetched.clear()
    dag.refused(root, f"more than {unixfs._MAX_BLOCKS} blocks")
    assert len(dag.fetched) <= 2 * unixfs._MAX_BLOCKS  # asked twice
    assert not dag.store.has(root)
    assert len(dag.fetched) <= 3 * unixfs._MAX_BLOCKS


# ---------------------------------------------------------------------- shapes


def test_deep_nesting_is_refused(dag: Dag) -> None:
    cid = _raw(dag)
    for depth in range(1, 12):
        cid = dag.node(file_node([(cid, 4, 4)]))
        root = dag.directory(("image.png", cid))
        if depth <= unixfs._MAX_DEPTH:
            assert len(dag.store.get(root)["image.png"]) == 4
        else:
            dag.refused(root, "nested deeper")


def test_many_links_are_refused(dag: Dag) -> None:
    leaf = _raw(dag)
    dag.refused(dag.directory(*((f"file{n:05}", leaf) for n in range(unixfs.MAX_FILES + 1))), "holds at most 64 files")
    dag.refused(dag.directory(*((f"f{n:05}", leaf) for n in range(unixfs._MAX_LINKS + 1))), "more than 8192 links")
    top = dag.node(file_node([(leaf, 4, 4)] * (unixfs._MAX_LINKS + 1)))
    dag.refused(dag.directory(("image.png", top)), "more than 8192 links")


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../../.ssh/id", "/etc/passwd", "a\\b", "C:\\x", "a\0", "\x1b[2J", "\u202e"]
)
def test_names_that_could_leave_the_directory_are_refused(dag: Dag, name: str) -> None:
    dag.refused(dag.directory((name, _raw(dag))), "file name in the directory")


@pytest.mark.parametrize("names", [("image.png", "image.png"), ("pose.json", "image.png"), ("b", "B"), ("é", "z")])
def test_names_twice_or_out_of_order_are_refused(dag: Dag, names: tuple[str, str]) -> None:
    dag.refused(dag.directory(*((name, _raw(dag)) for name in names)), "not in order, or one occurs twice")


def test_directories_in_directories_are_refused(dag: Dag) -> None:
    inner = dag.node(Node(DIRECTORY, (Link(_raw(dag), "image.png", 0),)))
    root = dag.directory(("inner", inner))
    dag.refused(root, "not a plain file")
    assert not dag.store.has(root)


def test_a_file_where_a_directory_should_be_is_refused(dag: Dag) -> None:
    dag.refused(str(dag.node(file_node([(_raw(dag), 4, 4)]))), "is a file, not a directory")


def test_a_file_without_parts_is_refused(dag: Dag) -> None:
    dag.refused(dag.directory(("image.png", dag.node(Node(FILE, ())))), "not a plain file")


def test_the_same_bytes_under_the_other_codec_are_another_block(dag: Dag) -> None:
    """A node read as raw bytes, and raw bytes that are a node."""
    node = encode(file_node([(_raw(dag), 4, 4)]))
    as_raw = dag.block(RAW, node)
    assert dag.store.get(dag.directory(("image.png", as_raw))) == {"image.png": node}
    root = dag.directory(("image.png", _raw(dag)))
    with pytest.raises(FormatError, match="single block"):
        dag.store.get(str(Cid(RAW, digest_of_cid(root))))


def test_random_bytes_as_a_node_are_refused(dag: Dag) -> None:
    dag.refused(dag.directory(("image.png", dag.block(DAG_PB, os.urandom(100)))), "node|number|link|field|CID")
    dag.refused(str(dag.block(DAG_PB, b"")), "no UnixFS data")


def test_parts_of_a_file_with_names_are_refused(dag: Dag) -> None:
    plain = file_node([(_raw(dag), 4, 4)])
    named = replace(plain, links=tuple(replace(link, name="../x") for link in plain.links))
    dag.refused(dag.directory(("image.png", dag.node(named))), "part of a file has a name")


def test_a_store_that_lacks_or_changes_a_block_is_told_apart(dag: Dag) -> None:
    leaf = _raw(dag)
    root = dag.directory(("image.png", leaf))
    dag.store.blocks[leaf] = b"else"
    dag.refused(root, "other bytes than", kind=Tampered)
    del dag.store.blocks[leaf]
    dag.refused(root, "does not have block", kind=StoreUnavailable)


# ---------------------------------------------------------------------- encodings

_LINK = b"\x0a\x24\x01\x55\x12\x20" + bytes(32)


def _node(*links: bytes, data: bytes = b"\x0a\x02\x08\x01") -> bytes:
    return b"".join(b"\x12" + varint(len(link)) + link for link in links) + data


GOOD = _node(_LINK + b"\x12\x02aa\x18\x05")


def test_the_example_that_the_cases_below_change_is_good() -> None:
    assert decode(GOOD, max_links=1) == Node(DIRECTORY, (Link(Cid(RAW, bytes(32)), "aa", 5),))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\0",
        GOOD + b"\x0a\x02\x08\x01",  # data twice
        b"\x0a\x02\x08\x01" + GOOD[:-4],  # data before links
        _node(_LINK + b"\x12\x02aa\x18\x85\x00"),  # a size longer than needed
        _node(_LINK + b"\x18\x05\x12\x02aa"),  # fields out of order
        _node(_LINK + b"\x12\x02aa"),  # no size
        _node(_LINK + b"\x18\x05"),  # no name
        _node(b"\x12\x02aa\x18\x05"),  # no CID
        _node(_LINK + b"\x12\x02\xff\xfe\x18\x05"),  # not UTF-8
        _node(_LINK + b"\x12\x03\xed\xa0\x80\x18\x05"),  # a surrogate
        _node(_LINK + b"\x12\x80\x02" + b"a" * 256 + b"\x18\x05"),  # a long name
        _node(_LINK + b"\x12\x02aa\x18" + b"\xff" * 9 + b"\x01"),  # 2^64 - 1
        _node(_LINK.replace(b"\x0a\x24\x01\x55", b"\x0a\x24\x01\x71") + b"\x12\x02aa\x18\x05"),  # dag-cbor
        _node(_LINK.replace(b"\x12\x20", b"\x13\x20") + b"\x12\x02aa\x18\x05"),  # sha2-512
        _node(b"\x0a\x22\x12\x20" + bytes(32) + b"\x12\x02aa\x18\x05"),  # a CID of version 0
        _node(data=b"\x0a\x02\x08\x00"),  # UnixFS raw
        _node(data=b"\x0a\x02\x08\x04"),  # a symbolic link
        _node(data=b"\x0a\x02\x08\x05"),  # a directory in shards
        _node(data=b"\x0a\x06\x08\x02\x12\x02hi"),  # a file with bytes of its own
        _node(data=b"\x0a\x04\x08\x02\x18\x05"),  # a file of five bytes without parts
        _node(data=b"\x0a\x04\x08\x01\x18\x00"),  # a directory with a size
        _node(data=b"\x0a\x03\x08\x81\x00"),  # a kind longer than needed
        _node(data=b"\x0a\xff\xff\xff\xff\x07\x08\x01"),  # announces 2 GiB
    ],
)
def test_what_is_not_canonical_is_refused(block: bytes) -> None:
    with pytest.raises(FormatError):
        decode(block, max_links=8)


_CIDS = st.builds(Cid, st.sampled_from((RAW, DAG_PB)), st.binary(min_size=32, max_size=32))
_SIZES = st.integers(0, (1 << 48) - 1)
_DIRECTORIES = st.builds(
    lambda links: Node(DIRECTORY, tuple(links)),
    st.lists(st.builds(Link, _CIDS, st.text(max_size=40), _SIZES), max_size=5),
)
_FILES = st.builds(file_node, st.lists(st.tuples(_CIDS, _SIZES, _SIZES), max_size=5))


@given(st.one_of(_DIRECTORIES, _FILES))
def test_every_node_comes_back_from_its_block(node: Node) -> None:
    block = encode(node)
    assert decode(block, max_links=5) == node
    if node.links:
        with pytest.raises(FormatError, match="links"):
            decode(block, max_links=len(node.links) - 1)


def _decodes_or_is_refused(block: bytes) -> None:
    try:
        node = decode(block, max_links=8)
    except FormatError:
        return
    assert encode(node) == block  # one block, one meaning


@given(st.binary(max_size=300))
@settings(max_examples=300)
@example(b"\x12")
@example(b"\x0a\x00")
def test_any_bytes_are_a_node_or_refused(block: bytes) -> None:
    _decodes_or_is_refused(block)


@given(st.one_of(_DIRECTORIES, _FILES).map(encode), st.data())
@settings(max_examples=300)
def test_a_node_with_any_change_is_another_node_or_refused(block: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(block) - 1))
    act: Callable[[], bytes] = data.draw(
        st.sampled_from(
            [
                lambda: block[:at] + bytes([block[at] ^ 1 << data.draw(st.integers(0, 7))]) + block[at + 1 :],
                lambda: block[:at] + data.draw(st.binary(min_size=1, max_size=4)) + block[at:],
                lambda: block[:at] + block[at + 1 :],
                lambda: block[:at],
            ]
        )
    )
    changed = act()
    _decodes_or_is_refused(changed)


@given(st.text(max_size=80))
@example("b" + "a" * 58)
def test_any_text_is_a_cid_or_refused(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except FormatError:
        return
    assert str(cid) == text


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_and_the_cid_of_its_directory_are_one(digest: bytes) -> None:
    assert digest_of_cid(cid_of_digest(digest)) == digest


@given(st.text(max_size=300))
def test_a_name_is_one_part_of_a_path_or_refused(name: str) -> None:
    try:
        unixfs.check_name(name)
    except FormatError:
        return
    assert "/" not in name and "\\" not in name and name not in (".", "..", "") and name.isprintable()


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.binary(max_size=2000), min_size=1, max_size=6))
def test_any_files_come_back_or_are_refused_by_name(files: dict[str, bytes]) -> None:
    store = MemoryStore()
    try:
        cid = store.put(files)
    except FormatError:
        return
    assert store.get(cid) == files and store.has(cid)
