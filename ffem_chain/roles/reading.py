"""Reading a sealed capture so that nothing is used before it matches the chain, and deriving what a grant
opens."""

from __future__ import annotations

import hmac

from ffem_chain.capture.model import Capture
from ffem_chain.chain.events import AlbumCreated
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import album_id
from ffem_chain.errors import NotForMe, Tampered
from ffem_chain.keys import tree
from ffem_chain.keys.grants import OpenedGrant
from ffem_chain.keys.scope import LEVEL_FACE, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.roles.records import covers
from ffem_chain.roles.registrations import Registration, Registrations
from ffem_chain.stores.base import Store
from ffem_chain.stores.cid import cid_of_digest


def load_capture(registry: Registry, store: Store, album: bytes, uid: bytes) -> Capture:
    """Find a capture's registration, by itself or in a batch, and load it. Raises like `Registrations.find` and
    `load_registered`."""
    return load_registered(registry, store, Registrations(registry, store).find(album, uid))


def load_registered(registry: Registry, store: Store, found: Registration) -> Capture:
    """Fetch a capture and verify it: chain digest → CID → every block → files → manifest against the
    registration.

    Raises StoreUnavailable, Tampered (bytes or manifest differ from the chain), FormatError.
    """
    capture = Capture.from_files(store.get(cid_of_digest(found.digest)))
    manifest = capture.manifest
    created = next((e for e in registry.events([AlbumCreated], album=found.album)), None)
    if not isinstance(created, AlbumCreated):
        raise Tampered(f"the logs of album {found.album.hex()[:16]} are incomplete", "use another RPC")
    claims = {
        "capture uid": (manifest.uid, found.uid),
        "album": (album_id(created.owner, manifest.album_salt), found.album),
        "key commitment": (manifest.key_commit, found.key_commit),
        "epoch": (manifest.epoch, found.epoch),
        "slot": (manifest.slot, found.slot),
    }
    for name, (stored, on_chain) in claims.items():
        if stored != on_chain:
            raise Tampered(f"the manifest of capture {found.uid.hex()[:16]} names another {name} than the chain")
    return capture


def opened_face_key(opened: OpenedGrant, capture: Capture, index: int) -> Secret:
    """Key of face `index` from an opened grant, checked against the face's commitment.

    Raises NotForMe where the grant does not cover the face, Tampered where the owner granted a wrong key,
    FormatError where there is no such face or it was covered for ever.
    """
    manifest, key = capture.manifest, opened.key
    uid, slot = manifest.uid, manifest.slot
    if not covers(opened.scope, Scope(LEVEL_FACE, epoch=manifest.epoch, slot=slot, uid=uid, face=index)):
        raise NotForMe(f"this grant does not cover face {index} of capture {uid.hex()[:16]}")
    face = capture.face(index)
    if opened.scope.level == LEVEL_FACE:
        _check_commit(key, "face", face.commit)
        return key
    where = ""
    above = opened.node_above(slot)
    if above is not None:
        node = above.node
        slot_key = tree.derive_slot_key(above.key, node.depth, node.prefix, manifest.tree, slot)
        key = tree.capture_key(slot_key, manifest.tree, slot, uid)
        where = f" (node of depth {node.depth} of the slot tree, slots {node.first} to {node.last})"
    _check_commit(key, "capture", manifest.key_commit, where)
    key = tree.face_key(key, manifest.face_context(index))
    _check_commit(key, "face", face.commit)
    return key


def _check_commit(key: Secret, level: str, commit: bytes, where: str = "") -> None:
    if not hmac.compare_digest(tree.key_commit(key, level), commit):
        raise Tampered(
            f"the granted key{where} does not match the commitment of the {level}",
            "the owner granted a wrong key: ask for a new grant",
        )
