"""The test vector of a batch's list: three captures, their tree, and lists that are refused; see
`ffem_chain.keys.vectors`."""

from __future__ import annotations

from ffem_chain.capture.batch import CaptureList, Entry, size_of
from ffem_chain.keys.vector_cases import Json, Recorded, change, fixed

EPOCH, SLOT = 3, 29_400_123


def _entry(index: int) -> Entry:
    uid, digest, commit = (fixed(f"batch/{name}{index}") for name in ("uid", "digest", "commit"))
    return Entry(uid, digest, commit, SLOT + index)


def batch_vectors(_: Recorded) -> Json:
    """The list, the leaf and proof of each capture, the root; and changes that the reader refuses."""
    listed = CaptureList.of(EPOCH, map(_entry, range(3)))
    data = listed.pack()
    rows = [data[size_of(i) : size_of(i + 1)] for i in range(3)]
    head = data[: size_of(0)]

    def other(why: str, value: bytes) -> Json:
        return change(why, "FormatError", "list", "set", value.hex())

    return {
        "epoch": EPOCH,
        "list": data.hex(),
        "root": listed.root.hex(),
        "captures": [
            {
                "uid": entry.uid.hex(),
                "digest": entry.digest.hex(),
                "key_commit": entry.key_commit.hex(),
                "slot": entry.slot,
                "leaf": entry.leaf(EPOCH).hex(),
                "proof": [sibling.hex() for sibling in listed.proof(entry)],
            }
            for entry in listed.entries
        ],
        "failures": [
            other("unknown version", b"\x02" + data[1:]),
            other("epoch 0", data[:1] + bytes(4) + data[5:]),
            other("no captures", head[:5] + bytes(4)),
            other("more captures than are there", head[:8] + b"\x04" + data[9:]),
            other("fewer captures than are there", head[:8] + b"\x02" + data[9:]),
            other("4,294,967,295 captures", head[:5] + b"\xff" * 4 + data[9:]),
            other("not in order", head + rows[1] + rows[0] + rows[2]),
            other("a capture twice", head + rows[0] + rows[0] + rows[2]),
            change("cut short", "FormatError", "list", "cut", len(data) - 1),
            other("a byte behind the end", data + b"\x00"),
            other("empty", b""),
        ],
    }
