"""Cases of the test vectors for the tree, the envelopes, the shares and the vault; see `vectors`."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ffem_chain.errors import FfemError
from ffem_chain.keys import shamir, suites, tree
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault

SUITES = (suites.SECP256K1, suites.XWING)
Json = dict[str, Any]


def fixed(name: str, length: int = 32) -> bytes:
    """Fixed bytes of a name."""
    return hashlib.shake_256(b"ffem/v1/vectors/" + name.encode()).digest(length)


def private_key(name: str, suite: int) -> suites.PrivateKey:
    """A fixed private key of a name."""
    return suites.PrivateKey(suite, Secret(fixed(f"{name}/{suite}")))


def shown(secret: Secret) -> str:
    """A secret of the vectors in hex: these protect nothing."""
    return secret.to_secret_bytes().hex()


def change(why: str, error: str, field: str, op: str, value: Any, step: str = "open") -> Json:
    """A case that must fail: one field of a good one changed."""
    return {"why": why, "step": step, "change": {field: {op: value}}, "error": error}


class Recorded:
    """What random draws made: kept from the file as it was, for as long as it still opens to what it should."""

    def __init__(self, old: Any, check: bool) -> None:
        self._old = old
        self._check = check

    def keep(self, place: Sequence[str | int], make: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
        """The value at `place` of the file where it still holds, a new one otherwise. SystemExit when checking."""
        value = self._old
        try:
            for step in place:
                value = value[step]
            if holds(value):
                return value
        except (FfemError, ValueError, LookupError, TypeError):
            pass
        if self._check:
            raise SystemExit(f"the recorded value at {place} no longer opens to what it should")
        return make()


def tree_vectors(_: Recorded) -> Json:
    """The whole tree below one epoch secret, and the commitment to each level."""
    secret, salt, uid, model = (fixed(f"tree/{name}") for name in ("secret", "salt", "uid", "model"))
    ctx, slot = tree.TreeContext(salt, 3), 29_400_123
    face_ctx = tree.FaceContext(uid, 7, model, "sphere", "q10")
    node, nodes = Secret(secret), []
    for depth in range(tree.SLOT_DEPTH):
        bit, prefix = slot >> (tree.SLOT_DEPTH - 1 - depth) & 1, slot >> (tree.SLOT_DEPTH - depth)
        node = tree.slot_node(node, ctx, bit, depth, prefix)
        nodes.append({"depth": depth + 1, "prefix": 2 * prefix + bit, "key": shown(node)})
    capture = tree.capture_key(node, ctx, slot, uid)
    face = tree.face_key(capture, face_ctx)
    keys = {"epoch": Secret(secret), "node": node, "capture": capture, "face": face}
    ranges = ((slot, slot), (slot, slot + 1439), (slot, tree.LAST_SLOT))
    return {
        "epoch_secret": secret.hex(),
        "album_salt": salt.hex(),
        "epoch": ctx.epoch,
        "slot": slot,
        "uid": uid.hex(),
        "face": {"index": 7, "model_id": model.hex(), "rotation": "sphere", "precision": "q10"},
        "tree_context": ctx.pack().hex(),
        "face_context": face_ctx.pack().hex(),
        "nodes": nodes,
        "slot_keys": [
            {"slot": s, "key": shown(tree.slot_key(Secret(secret), ctx, s))} for s in (0, 1, slot, (1 << 32) - 1)
        ],
        "covers": [
            {
                "first": first,
                "last": last,
                "nodes": [
                    {"depth": one.depth, "prefix": one.prefix, "key": shown(tree.node_key(Secret(secret), ctx, one))}
                    for one in tree.cover(first, last)
                ],
            }
            for first, last in ranges
        ],
        "capture_key": shown(capture),
        "face_key": shown(face),
        "rotation_key": shown(tree.rotation_key(face)),
        "exact_key": shown(tree.exact_key(face)),
        "geometry_key": shown(tree.geometry_key(face)),
        "dither_key": shown(tree.dither_key(face)),
        "commits": {level: tree.key_commit(key, level).hex() for level, key in keys.items()},
    }


def envelope_vectors(recorded: Recorded) -> Json:
    """32 bytes sealed under each suite, and what must not open."""
    cases: list[Json] = []
    for number, suite in enumerate(SUITES):
        private, other = private_key("envelope", suite), private_key("envelope/other", suite)
        plain, info = fixed("envelope/plain"), b"ffem/v1/vectors\x00" + fixed("envelope/info", 20)

        def make(suite: int = suite, public: bytes = private.public, plain: bytes = plain, info: bytes = info) -> str:
            return suites.seal(suite, public, plain, info).hex()

        def holds(v: str, key: suites.PrivateKey = private, plain: bytes = plain, info: bytes = info) -> bool:
            return suites.open_envelope(key, bytes.fromhex(v), info) == Secret(plain)

        sealed = bytes.fromhex(recorded.keep(("cases", number, "sealed"), make, holds))
        end = len(sealed)
        cases.append(
            {
                "suite": suite,
                "private": private.to_secret_bytes().hex(),
                "public": private.public.hex(),
                "info": info.hex(),
                "plaintext": plain.hex(),
                "sealed": sealed.hex(),
                "failures": [
                    change("another context", "Tampered", "info", "flip", 0),
                    change("a shorter context", "Tampered", "info", "cut", len(info) - 1),
                    change("another recipient", "Tampered", "private", "set", other.to_secret_bytes().hex()),
                    # for suite 1 the mirrored point, with which the shared coordinate is the same
                    change("a flipped bit in the encapsulated key", "Tampered", "sealed", "flip", 1),
                    change("a flipped bit in the ciphertext", "Tampered", "sealed", "flip", end - 17),
                    change("a flipped bit in the tag", "Tampered", "sealed", "flip", end - 1),
                    change("truncated by a byte", "Tampered", "sealed", "cut", end - 1),
                    change("cut to its suite", "FormatError", "sealed", "cut", 1),
                    change("empty", "FormatError", "sealed", "cut", 0),
                    change("unknown suite", "FormatError", "sealed", "set", "03" + sealed[1:].hex()),
                ],
            }
        )
    # a point with this x is not on the curve
    no_point = "0102" + (5).to_bytes(32, "big").hex() + cases[0]["sealed"][68:]
    cases[0]["failures"].append(change("no point of the curve", "FormatError", "sealed", "set", no_point))
    cases[0]["failures"].append(change("for a key of suite 2", "NotForMe", "suite", "set", 2))
    return {"cases": cases}


def shamir_vectors(recorded: Recorded) -> Json:
    """Shares of 32 bytes; any threshold of them combine to the secret."""
    secret = Secret(fixed("shamir"))
    cases: list[Json] = []
    for number, (threshold, count) in enumerate(((1, 1), (1, 3), (2, 3), (3, 5), (8, 8))):

        def make(threshold: int = threshold, count: int = count) -> list[str]:
            return [shown(share) for share in shamir.split(secret, threshold, count)]

        def holds(value: list[str], threshold: int = threshold) -> bool:
            shares = [Secret(bytes.fromhex(share)) for share in value]
            chosen = itertools.combinations(range(len(shares)), threshold)
            return all(shamir.combine({i: shares[i] for i in some}, threshold) == secret for some in chosen)

        shares = recorded.keep(("cases", number, "shares"), make, holds)
        cases.append({"threshold": threshold, "secret": shown(secret), "shares": shares})
    return {"cases": cases}


def vault_vectors(recorded: Recorded) -> Json:
    """A vault file with its passphrase and content, and damaged ones."""
    passphrase, content = "correct horse battery staple", {"number": 7, "text": "kept", "list": [1, 2, 3]}

    def at(folder: str, data: str) -> Path:
        path = Path(folder) / "vector.vault"
        path.write_bytes(bytes.fromhex(data))
        return path

    def make() -> str:
        with TemporaryDirectory() as folder:
            vault = Vault.create(Path(folder) / "vector.vault", Secret(passphrase.encode()))
            with vault.edit() as data:
                data.update(content)
            return vault.path.read_bytes().hex()

    def holds(value: str) -> bool:
        with TemporaryDirectory() as folder:
            return Vault.open(at(folder, value), Secret(passphrase.encode())).read() == content

    data = recorded.keep(("file",), make, holds)
    end = len(data) // 2
    return {
        "passphrase": passphrase,
        "content": content,
        "file": data,
        "failures": [
            change("another passphrase", "NotForMe", "passphrase", "set", passphrase + " "),
            change("a flipped bit in the sealed content", "FormatError", "file", "flip", end - 60),
            change("truncated", "FormatError", "file", "cut", end - 1),
        ],
    }
