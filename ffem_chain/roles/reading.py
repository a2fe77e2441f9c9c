"""Reading a sealed capture so that nothing is used before it matches the chain, and deriving what a grant
opens."""

from __future__ import annotations

import hmac

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from ffem_chain.capture.model import Capture
from ffem_chain.chain.events import AlbumCreated, CaptureRegistered
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import album_id
from ffem_chain.errors import NotForMe, Refused, Tampered
from ffem_chain.keys import tree
from ffem_chain.keys.grants import OpenedGrant
from ffem_chain.keys.scope import LEVEL_FACE, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.roles.records import covers
from ffem_chain.stores.base import Store
from ffem_chain.stores.cid import cid_of_digest


def registered_capture(registry: Registry, album: bytes, uid: bytes) -> CaptureRegistered:
    """The registration of a capture, its log checked against the contract's storage.

    Raises Refused where there is none, Tampered where the log does not match the storage.
    """
    stored = registry.capture_hash(album, uid)
    if not any(stored):
        raise Refused(f"capture {uid.hex()[:16]} is not registered in album {album.hex()[:16]}")
    for event in registry.events([CaptureRegistered], album=album, uid=uid):
        if isinstance(event, CaptureRegistered):
            values = [event.digest, event.key_commit, event.epoch, event.slot]
            if keccak(encode(["bytes32", "bytes32", "uint32", "uint32"], values)) == stored:
                return event
    raise Tampered(
        f"the logs of capture {uid.hex()[:16]} do not match the contract's state",
        "the RPC leaves out or alters logs; use another one",
    )


def find_capture(registry: Registry, uid: bytes) -> CaptureRegistered:
    """The registration of a capture whose album is not known, checked. Raises Refused where there is none
    or several."""
    found = [e for e in registry.events([CaptureRegistered], uid=uid) if isinstance(e, CaptureRegistered)]
    if not found:
        raise Refused(f"no capture {uid.hex()[:16]} is registered on this deployment")
    if len(found) > 1:
        raise Refused(f"capture {uid.hex()[:16]} is registered in {len(found)} albums", "name the album")
    return registered_capture(registry, found[0].album, uid)


def load_capture(registry: Registry, store: Store, album: bytes, uid: bytes) -> Capture:
    """Fetch a capture and verify it: chain digest → CID → every block → files → manifest against the
    registration.

    Raises Refused (not registered), StoreUnavailable, Tampered (bytes or manifest differ from the chain),
    FormatError.
    """
    event = registered_capture(registry, album, uid)
    capture = Capture.from_files(store.get(cid_of_digest(event.digest)))
    manifest = capture.manifest
    created = next((e for e in registry.events([AlbumCreated], album=album)), None)
    if not isinstance(created, AlbumCreated):
        raise Tampered(f"the logs of album {album.hex()[:16]} are incomplete", "use another RPC")
    claims = {
        "capture uid": (manifest.uid, uid),
        "album": (album_id(created.owner, manifest.album_salt), album),
        "key commitment": (manifest.key_commit, event.key_commit),
        "epoch": (manifest.epoch, event.epoch),
        "slot": (manifest.slot, event.slot),
    }
    for name, (stored, on_chain) in claims.items():
        if stored != on_chain:
            raise Tampered(f"the manifest of capture {uid.hex()[:16]} names another {name} than the chain")
    return capture


def opened_face_key(opened: OpenedGrant, capture: Capture, index: int) -> Secret:
    """Key of face `index` from an opened grant, checked against the face's commitment.

    Raises NotForMe where the grant does not cover the face, Tampered where the owner granted a wrong key,
    FormatError where there is no such face or it was covered for ever.
    """
    manifest, key = capture.manifest, opened.key
    level = LEVEL_FACE
    uid, slot = manifest.uid, manifest.slot
    if not covers(opened.scope, Scope(level, epoch=manifest.epoch, slot=slot, uid=uid, face=index)):
        raise NotForMe(f"this grant does not cover face {index} of capture {uid.hex()[:16]}")
    face = capture.face(index)
    if opened.scope.level == level:
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
