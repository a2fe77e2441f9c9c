"""Files to blocks and back: chunks of 262,144 bytes, raw leaves, balanced trees 174 wide, one flat directory.

These are the options `--cid-version=1 --raw-leaves --chunker=size-262144 --wrap-with-directory` of an IPFS daemon;
the CIDs are the same. Reading trusts nothing: every block is verified, every size is bounded before it is fetched.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping

from ffem_chain.errors import FormatError, Tampered
from ffem_chain.stores.base import MAX_BYTES
from ffem_chain.stores.cid import DAG_PB, RAW, Cid
from ffem_chain.stores.dagpb import DIRECTORY, FILE, Link, Node, decode, encode, file_node

CHUNK = 262_144
WIDTH = 174
MAX_BLOCK = 2 * 1024 * 1024  # what IPFS nodes exchange at most
MAX_FILES = 64
_MAX_DEPTH = 4  # 174^3 chunks are 1.3 TB
_MAX_LINKS = 8_192
# `MAX_BYTES` are 3,080 chunks; a capture in many more crumbs is an attack on the reader's time.
_MAX_BLOCKS = 16_384

Fetch = Callable[[Cid], bytes]
Block = tuple[Cid, bytes]


def check_name(name: str) -> str:
    """A file name that cannot leave its directory. Raises FormatError."""
    if not 1 <= len(name.encode("utf-8", "surrogatepass")) <= 255 or name in (".", ".."):
        raise FormatError("a file name in the directory is empty, too long or a path")
    if any(letter in "/\\:" or not letter.isprintable() for letter in name):
        raise FormatError("a file name in the directory holds a separator or a character that cannot be printed")
    return name


def build(files: Mapping[str, bytes]) -> tuple[Cid, Iterator[Block]]:
    """CID of the directory of `files`, and its blocks, children before parents. Raises FormatError.

    Holds no second copy of the files: each block is cut when it is asked for.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise FormatError(f"a directory holds 1 to {MAX_FILES} files")
    if sum(map(len, files.values())) > MAX_BYTES:
        raise FormatError(f"the files of a directory have more than {MAX_BYTES >> 20} MiB")
    links: list[Link] = []
    inner: list[list[Block]] = []
    # dag-pb orders links by the bytes of their names.
    for name in sorted((check_name(name) for name in files), key=str.encode):
        cid, total, nodes = _tree(files[name])
        links.append(Link(cid, name, total))
        inner.append(nodes)
    root = encode(Node(DIRECTORY, tuple(links)))

    def blocks() -> Iterator[Block]:
        for link, nodes in zip(links, inner, strict=True):
            for start in _starts(files[link.name]):
                leaf = bytes(files[link.name][start : start + CHUNK])
                yield Cid.of(RAW, leaf), leaf
            yield from nodes
        yield Cid.of(DAG_PB, root), root

    return Cid.of(DAG_PB, root), blocks()


def file_cid(data: bytes) -> Cid:
    """CID of a file, as a directory names it."""
    return _tree(data)[0]


def _starts(data: bytes) -> range:
    return range(0, max(1, len(data)), CHUNK)  # an empty file is one empty leaf


def _tree(data: bytes) -> tuple[Cid, int, list[Block]]:
    """Root of a file, cumulative size of its blocks, and its inner nodes."""
    view = memoryview(data)
    level = []
    for start in _starts(data):
        leaf = bytes(view[start : start + CHUNK])
        level.append((Cid.of(RAW, leaf), len(leaf), len(leaf)))
    nodes: list[Block] = []
    while len(level) > 1:
        above = []
        for first in range(0, len(level), WIDTH):
            children = level[first : first + WIDTH]
            node = file_node(children)
            block = encode(node)
            nodes.append((Cid.of(DAG_PB, block), block))
            above.append((nodes[-1][0], len(block) + sum(total for _, total, _ in children), node.file_size))
        level = above
    return level[0][0], level[0][1], nodes


class Reader:
    """Reads one directory through `fetch`, which gives the bytes of a CID or raises; what it gives is verified here.

    `max_bytes` bounds the files' bytes in all. `on_block` sees every verified block before its children's.
    """

    def __init__(self, fetch: Fetch, max_bytes: int, on_block: Callable[[Cid, bytes], None] | None = None) -> None:
        self._fetch, self._left, self._on_block = fetch, max_bytes, on_block
        self._blocks = 0

    def directory(self, root: Cid) -> dict[str, Cid]:
        """Names and CIDs of the files. Raises FormatError, Tampered and what `fetch` raises."""
        node = self._node(root)
        if node.kind != DIRECTORY:
            raise FormatError(f"{root} is a file, not a directory")
        if len(node.links) > MAX_FILES:
            raise FormatError(f"a directory holds at most {MAX_FILES} files")
        names = [check_name(link.name) for link in node.links]
        if names != sorted(set(names), key=str.encode):
            raise FormatError("the directory's names are not in order, or one occurs twice")
        return {link.name: link.cid for link in node.links}

    def files(self, root: Cid) -> dict[str, bytes]:
        """All files of a directory."""
        return {name: self._file(cid) for name, cid in self.directory(root).items()}

    def file(self, root: Cid, name: str) -> bytes:
        """One file of a directory; nothing of the others is fetched. FormatError where there is none of that name."""
        listed = self.directory(root)
        if name not in listed:
            raise FormatError(f"the directory holds no {name}")
        return self._file(listed[name])

    def walk(self, root: Cid) -> None:
        """Read and verify a directory as `files` does, keeping nothing: for what `on_block` does."""
        for cid in self.directory(root).values():
            for _ in self._leaves(cid, None, 0):
                pass

    def children(self, cid: Cid) -> list[Cid]:
        """CIDs right below an inner node of a file."""
        node = self._node(cid)
        if node.kind != FILE:
            raise FormatError("the directory holds something that is not a plain file")
        return [link.cid for link in node.links]

    def _file(self, cid: Cid) -> bytes:
        whole = io.BytesIO()  # joining a list of the leaves would hold them twice
        for leaf in self._leaves(cid, None, 0):
            whole.write(leaf)
        return whole.getvalue()

    def _leaves(self, cid: Cid, size: int | None, depth: int) -> Iterator[bytes]:
        """Leaves of the file or part of a file at `cid`; `size` is what its parent announced, None at the top."""
        if depth > _MAX_DEPTH:
            raise FormatError(f"a file's blocks are nested deeper than {_MAX_DEPTH}")
        if cid.codec == RAW:
            leaf = self._block(cid)
            if size is None:
                self._spend(len(leaf))
            elif len(leaf) != size:
                raise FormatError("a block of a file is not of the size that its parent announces")
            yield leaf
            return
        node = self._node(cid)
        if node.kind != FILE or not node.links or 0 in node.sizes:
            raise FormatError("the directory holds something that is not a plain file")
        if size is None:
            self._spend(node.file_size)  # before any of it is fetched
        elif node.file_size != size:
            raise FormatError("a part of a file is not of the size that its parent announces")
        for link, below in zip(node.links, node.sizes, strict=True):
            yield from self._leaves(link.cid, below, depth + 1)

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise FormatError("the directory is larger than this reader allows")

    def _node(self, cid: Cid) -> Node:
        if cid.codec != DAG_PB:
            raise FormatError(f"{cid} is not a directory")
        return decode(self._block(cid), max_links=_MAX_LINKS)

    def _block(self, cid: Cid) -> bytes:
        self._blocks += 1
        if self._blocks > _MAX_BLOCKS:
            raise FormatError(f"the directory has more than {_MAX_BLOCKS} blocks")
        data = self._fetch(cid)
        if len(data) > MAX_BLOCK:
            raise FormatError(f"a block is larger than {MAX_BLOCK} bytes")
        if not cid.matches(data):
            raise Tampered(f"the store gave other bytes than {cid} names", "fetch the capture from another store")
        if self._on_block:
            self._on_block(cid, data)
        return data


def block_ids(fetch: Fetch, root: Cid) -> Iterator[Cid]:
    """Every CID of a directory, root first, fetching inner nodes only. Raises like `Reader`."""
    reader = Reader(fetch, 0)
    yield root
    pending = list(reader.directory(root).values())
    count = 1
    while pending:
        count += 1
        if count > _MAX_BLOCKS:
            raise FormatError(f"the directory has more than {_MAX_BLOCKS} blocks")
        cid = pending.pop()
        yield cid
        if cid.codec == DAG_PB:
            pending.extend(reader.children(cid))
