"""dag-pb nodes and the UnixFS message in them, as much as files and flat directories need.

Specifications: ipld.io/specs/codecs/dag-pb and specs.ipfs.tech/unixfs. The reader takes only the canonical encoding
(links before data, each field once, shortest varints), which is what every current writer gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ffem_chain.errors import FormatError
from ffem_chain.stores.cid import BINARY_LENGTH, Cid

DIRECTORY, FILE = 1, 2
_MAX_NAME = 255


@dataclass(frozen=True)
class Link:
    """A child: its CID, its name (empty inside a file) and the cumulative size of its blocks in bytes."""

    cid: Cid
    name: str
    total: int


@dataclass(frozen=True)
class Node:
    """A UnixFS file with children, or a directory. `sizes` are the file bytes below each link."""

    kind: int
    links: tuple[Link, ...]
    sizes: tuple[int, ...] = field(default=())

    @property
    def file_size(self) -> int:
        return sum(self.sizes)


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _blob(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def encode(node: Node) -> bytes:
    """The canonical block of a node."""
    unixfs = varint(1 << 3) + varint(node.kind)
    if node.kind == FILE:
        unixfs += varint(3 << 3) + varint(node.file_size)
        unixfs += b"".join(varint(4 << 3) + varint(size) for size in node.sizes)
    links = b"".join(
        _blob(2, _blob(1, link.cid.to_bytes()) + _blob(2, link.name.encode()) + varint(3 << 3) + varint(link.total))
        for link in node.links
    )
    return links + _blob(1, unixfs)


def decode(block: bytes, *, max_links: int) -> Node:
    """Parse a block. Raises FormatError unless it is the canonical encoding of a plain file node or directory."""
    reader = _Reader(block)
    links: list[Link] = []
    while (number := reader.key()) == 2:
        if len(links) == max_links:
            raise FormatError(f"a node of the directory has more than {max_links} links")
        links.append(_decode_link(reader.blob()))
    if number != 1:
        raise FormatError("a node of the directory holds no UnixFS data")
    unixfs = reader.blob()
    reader.end()
    node = _decode_unixfs(unixfs, tuple(links))
    if encode(node) != block:
        raise FormatError("a node of the directory is not in canonical form, or of a kind that captures do not use")
    return node


def _decode_link(data: bytes) -> Link:
    reader = _Reader(data)
    if reader.key() != 1:
        raise FormatError("a link without a CID")
    cid = Cid.from_bytes(reader.blob(BINARY_LENGTH))
    if reader.key() != 2:
        raise FormatError("a link without a name")
    try:
        name = reader.blob(_MAX_NAME).decode()
    except UnicodeDecodeError as error:
        raise FormatError("a link whose name is not UTF-8") from error
    if reader.key() != 3:
        raise FormatError("a link without a size")
    total = reader.varint()
    reader.end()
    return Link(cid, name, total)


def _decode_unixfs(data: bytes, links: tuple[Link, ...]) -> Node:
    reader = _Reader(data)
    if reader.key() != 1 or (kind := reader.varint()) not in (DIRECTORY, FILE):
        raise FormatError("a node is neither a file nor a plain directory")
    if kind == DIRECTORY:
        reader.end()
        return Node(DIRECTORY, links)
    if any(link.name for link in links):
        raise FormatError("a part of a file has a name")
    # A file node here has children only; the comparison with the canonical bytes refuses data of its own.
    if reader.key() != 3:
        raise FormatError("a file node without a size")
    total = reader.varint()
    sizes = []
    for _ in links:
        if reader.key() != 4:
            raise FormatError("a file node without the size of each child")
        sizes.append(reader.varint())
    reader.end()
    if total != sum(sizes):
        raise FormatError("a file node whose size is not the sum of its children's")
    return Node(FILE, links, tuple(sizes))


class _Reader:
    """Protobuf fields of one message, every length compared with what is left."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def key(self) -> int:
        """The next field number, 0 at the end. Only fields 1 to 4 in their own wire types come out of `encode`."""
        return self.varint() >> 3 if self._at < len(self._data) else 0

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            if self._at >= len(self._data):
                raise FormatError("a node of the directory is truncated")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise FormatError("a number in a node of the directory is too large")

    def blob(self, bound: int | None = None) -> bytes:
        length = self.varint()
        if length > len(self._data) - self._at or (bound is not None and length > bound):
            raise FormatError("a field of a node of the directory is too long")
        self._at += length
        return self._data[self._at - length : self._at]

    def end(self) -> None:
        if self._at != len(self._data):
            raise FormatError("a node of the directory has fields that the format does not use")


def file_node(children: Sequence[tuple[Cid, int, int]]) -> Node:
    """Node over children given as (CID, cumulative block size, file bytes)."""
    links = tuple(Link(cid, "", total) for cid, total, _ in children)
    return Node(FILE, links, tuple(size for _, _, size in children))
