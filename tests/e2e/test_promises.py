"""Promises P1 to P8 of SECURITY.md on a real photo, a real chain and the real model: each fails when it is broken.

What belongs to a promise and is tested elsewhere too: P1 in tests/node/test_seal.py, P4 and P5 in test_release.py,
test_revocation.py and test_keeper.py, P6 in tests/audit, P7 and P8 in tests/stores, tests/capture and tests/keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut
from support.rpc_proxy import RpcProxy

from ffem_chain.audit.model import Kind
from ffem_chain.audit.run import audit
from ffem_chain.capture.exact import open_exact, ownership
from ffem_chain.capture.model import Capture
from ffem_chain.capture.picture import decode
from ffem_chain.chain.events import (
    AccessRequested,
    GrantOpened,
    GrantRevoked,
    ReleaseCommitted,
    ShareDelivered,
    layouts,
)
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.chain.types import GrantParams
from ffem_chain.errors import FfemError, FormatError, NotForMe, Pending, Refused, Tampered
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import Model, load_model
from ffem_chain.faces.readers import fake
from ffem_chain.keys import shamir
from ffem_chain.keys.grants import open_grant, parse_payload
from ffem_chain.keys.secret import Secret
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.reading import load_capture, opened_face_key
from ffem_chain.roles.records import Album
from ffem_chain.stores.local import LocalStore
from ffem_devnet.anvil import Anvil
from ffem_node.seal import Sealed, seal_photo

from .world import World, settle

Pixels = NDArray[np.uint8]


@dataclass
class Gallery:
    """A photo of two faces, sealed by account 0 with keepers 1, 2 and 3, of which two are needed."""

    world: World
    owner: Owner
    album: Album
    store: LocalStore
    photo: Pixels
    sealed: Sealed

    def capture(self, registry: Registry) -> Capture:
        return load_capture(registry, self.store, self.album.album_id, self.sealed.uid)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """The public-domain astronaut twice, one mirrored."""
    face = np.ascontiguousarray(astronaut()[:320, 60:380])
    return np.concatenate([face, face[:, ::-1]], axis=1)


@pytest.fixture(scope="module")
def gallery(anvil: Anvil, tmp_path_factory: pytest.TempPathFactory, model: Model, photo: Pixels) -> Gallery:
    folder = tmp_path_factory.mktemp("gallery")
    world = World(anvil.url, deploy(anvil.url, anvil.accounts[9]), anvil.accounts, folder)
    owner = world.owner()
    album = owner.create_album("album", [world.accounts[i].address for i in (1, 2, 3)], 2)
    for index in (1, 2, 3):
        keeper = world.keeper(index)
        keeper.accept(keeper.proposals()[0].keeper_set)
    for index in (4, 5):
        world.recipient(index).register_key()
    store = LocalStore(folder / "store")
    sealed = seal_photo(photo, owner, "album", owner.registry, store, model, CenterFace())
    assert (sealed.faces, sealed.covered, sealed.registered) == (2, 0, True)
    return Gallery(world, owner, album, store, photo, sealed)


def raw_rows(photo: Pixels, capture: Capture) -> list[bytes]:
    """Runs of open pixels out of the middle of each face."""
    rows = []
    for face in capture.public_faces:
        box = face.box
        y, x = box.y + box.height // 2, box.x + box.width // 4
        rows.append(photo[y, x : x + box.width // 2].tobytes())
    return rows


# ---------------------------------------------------------------------- P1 fail closed


@pytest.mark.parametrize("broken", ["encode", "put", "record"])
def test_p1_no_open_face_leaves_the_camera(
    gallery: Gallery, model: Model, tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a good run nor one that breaks writes an open face, and a broken one registers and stores nothing."""
    gallery_rows = raw_rows(gallery.photo, gallery.capture(gallery.owner.registry))
    folders = [gallery.world.folder, tmp_path]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store, before = LocalStore(tmp_path / "store"), len(gallery.owner.captures())

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of order")

    target, name = {
        "encode": (type(model), "encode"),
        "put": (LocalStore, "put"),
        "record": (Owner, "record_capture"),
    }[broken]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, fails)
        with pytest.raises((FfemError, RuntimeError)):
            seal_photo(gallery.photo, gallery.owner, "album", gallery.owner.registry, store, model, CenterFace())
    assert store.pins() == [] and len(gallery.owner.captures()) == before
    written = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert written and not any(row in data for row in gallery_rows for data in written)


def test_p1_the_public_picture_holds_no_open_pixel_of_a_face(gallery: Gallery) -> None:
    capture = gallery.capture(gallery.owner.registry)
    head = capture.manifest
    image = decode(capture.image_png, head.width, head.height)
    hidden = ownership([face.box for face in capture.public_faces], head.width, head.height) >= 0
    assert np.array_equal(image[~hidden], gallery.photo[~hidden])
    same = (image[hidden] == gallery.photo[hidden]).all(axis=1).mean()
    assert same < 0.01


# ---------------------------------------------------------------------- P2 what is public


def test_p2_public_numbers_are_coarse_and_lengths_do_not_depend_on_the_face(
    gallery: Gallery, model: Model, tmp_path: Path
) -> None:
    capture = gallery.capture(gallery.owner.registry)
    files = gallery.store.get(gallery.sealed.cid)
    (pose, manifest) = (json.loads(files[name]) for name in ("pose.json", "manifest.json"))
    allowed = {"alignment", "box", "pitch", "roll", "sealed", "yaw"}
    for face in pose["faces"]:
        assert set(face) == allowed and all(value % 4 == 0 for value in face["box"])
        assert face["yaw"] % 3 == face["pitch"] % 3 == face["roll"] % 3 == 0
    assert "landmarks" not in json.dumps([pose, manifest])

    # The same boxes with other faces in them: all lengths but the picture's are the same.
    other = gallery.photo.copy()
    for face in capture.public_faces:
        box = face.box
        other[box.rows, box.columns] = np.roll(other[box.rows, box.columns], 1, axis=0)
    store = LocalStore(tmp_path / "store")
    again = seal_photo(other, gallery.owner, "album", None, store, model, _Fixed(CenterFace().detect(gallery.photo)))
    assert {k: v for k, v in again.bytes.items() if k != "image.png"} == {
        k: v for k, v in gallery.sealed.bytes.items() if k != "image.png"
    }
    # Sealed twice, the same face shows an unrelated latent of the same norm.
    first, second = (_latent(one, 0) for one in (capture, Capture.from_files(store.get(again.cid))))
    assert abs(float(first @ second)) / first.size < 5 / np.sqrt(first.size)
    assert abs(np.linalg.norm(first) - np.linalg.norm(second)) < 0.01 * np.sqrt(first.size)


class _Fixed:
    """A detector that finds what another one found."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def detect(self, picture: Pixels) -> Any:
        return self.found


def _latent(capture: Capture, index: int) -> NDArray[np.float64]:
    from ffem_chain.faces.flow.quantise import unpack

    return unpack(capture.face(index).z, 3 * capture.manifest.size**2, 10)


def test_p2_the_chain_does_not_name_what_is_granted(gallery: Gallery) -> None:
    """Two grants of different things to one wallet look alike but for random bytes, and no face count is on it."""
    owner, bob = gallery.owner, gallery.world.accounts[4].address
    made = [owner.grant(gallery.sealed.uid, face, bob) for face in (0, 1, None)]
    events = {e.grant_id: e for e in owner.registry.events() if hasattr(e, "payload")}
    payloads = [events[record.grant_id].payload for record in made]
    assert len({len(payload) for payload in payloads}) == 1
    assert not any(gallery.sealed.uid in payload for payload in payloads)
    assert len({events[record.grant_id].scope_commit for record in made}) == 3


def test_p2_the_fake_is_made_of_public_bytes_only(gallery: Gallery, model: Model) -> None:
    capture = gallery.capture(gallery.owner.registry)
    picture = decode(capture.image_png, capture.manifest.width, capture.manifest.height)
    shown = fake(capture, picture, 0.7, model)
    hidden = ownership([f.box for f in capture.public_faces], *picture.shape[1::-1]) >= 0
    assert np.array_equal(shown[~hidden], gallery.photo[~hidden])
    difference = np.abs(shown[hidden].astype(int) - gallery.photo[hidden].astype(int)).mean()
    assert difference > 10


# ---------------------------------------------------------------------- P3 exact opening


def test_p3_bit_exact_and_known_to_be(gallery: Gallery) -> None:
    world, owner = gallery.world, gallery.owner
    bob = world.recipient(4)
    record = owner.grant(gallery.sealed.uid, None, bob.wallet)
    bob.request(record.grant_id)
    settle(world.keeper(1), world.keeper(3))
    opened = bob.collect(record.grant_id, timeout=0)
    capture = gallery.capture(bob.registry)
    picture = decode(capture.image_png, capture.manifest.width, capture.manifest.height)
    for index in range(2):
        picture = open_exact(capture, picture, index, opened_face_key(opened, capture, index))
    assert np.array_equal(picture, gallery.photo)
    assert hashlib.sha256(picture.tobytes()).digest() == hashlib.sha256(gallery.photo.tobytes()).digest()


def test_p3_one_face_shows_one_face(gallery: Gallery) -> None:
    """Opening a face changes the pixels that it owns and no other."""
    capture = gallery.capture(gallery.owner.registry)
    picture = decode(capture.image_png, capture.manifest.width, capture.manifest.height)
    opened = open_exact(capture, picture, 0, gallery.owner.face_key(gallery.sealed.uid, 0))
    owned = ownership([f.box for f in capture.public_faces], *picture.shape[1::-1])
    assert np.array_equal(opened[owned == 0], gallery.photo[owned == 0])
    assert np.array_equal(opened[owned != 0], picture[owned != 0])


# ---------------------------------------------------------------------- P4 receipts


def test_p4_no_key_without_request_and_t_commits(gallery: Gallery) -> None:
    """Before its request and two commits, all that the chain and the recipient hold does not give the key."""
    world, owner = gallery.world, gallery.owner
    bob = world.recipient(4)
    record = owner.grant(gallery.sealed.uid, 0, bob.wallet)
    expected = owner.face_key(gallery.sealed.uid, 0)

    def receipts() -> list[int]:
        return [e.index for e in bob.registry.events([ReleaseCommitted], grant=record.grant_id)]

    with pytest.raises(Refused, match="no request"):
        bob.collect(record.grant_id, timeout=0)
    # What the recipient can compute without keepers is not the key.
    event = next(e for e in bob.registry.events() if getattr(e, "payload", None) and e.grant_id == record.grant_id)
    payload = parse_payload(event.payload, 1, 3)
    from ffem_chain.roles.ledger import read_ledger

    context = read_ledger(bob.registry, record.grant_id).context(bob.registry.deployment_id)
    private = bob.ring.private(record.key_version)
    with pytest.raises(Pending):
        open_grant(private, payload, context, event.scope_commit, {})
    guessed = shamir.split(Secret.random(), 2, 3)
    with pytest.raises(Tampered):
        open_grant(private, payload, context, event.scope_commit, dict(enumerate(guessed[:2])))

    # No request: keepers have nothing to answer.
    settle(world.keeper(1), world.keeper(2))
    assert receipts() == []
    bob.request(record.grant_id)
    with pytest.raises(Pending):
        bob.collect(record.grant_id, timeout=0)
    settle(world.keeper(1))
    with pytest.raises(Pending, match="0 of 2 shares"):
        bob.collect(record.grant_id, timeout=0)
    assert receipts() == [0] and not bob.registry.events([ShareDelivered], grant=record.grant_id)
    assert not bob.registry.events([GrantOpened], grant=record.grant_id)
    settle(world.keeper(2), world.keeper(1))
    assert bob.collect(record.grant_id, timeout=0).key == expected
    assert sorted(receipts()) == [0, 1]
    assert len(bob.registry.events([AccessRequested], grant=record.grant_id)) == 1
    assert len(bob.registry.events([GrantOpened], grant=record.grant_id)) == 1


def test_p4_keepers_together_open_nothing(gallery: Gallery) -> None:
    """All shares of all keepers give the pad, never the key: that needs the recipient's envelope, too."""
    from ffem_chain.keys.grants import open_keeper_share
    from ffem_chain.roles.keyring import address_bytes
    from ffem_chain.roles.ledger import read_ledger

    world, owner = gallery.world, gallery.owner
    record = owner.grant(gallery.sealed.uid, 0, world.accounts[4].address)
    ledger = read_ledger(owner.registry, record.grant_id)
    payload = parse_payload(ledger.created.payload, 1, 3)
    context = ledger.context(owner.registry.deployment_id)
    shares, rings = {}, {}
    for index in range(3):
        keeper = world.keeper(index + 1)
        rings[index] = keeper.ring.private(payload.shares[index].version)
        shares[index] = open_keeper_share(
            rings[index], payload, context, ledger.created.scope_commit, index, address_bytes(keeper.wallet)
        )
    for pair in combinations(shares.items(), 2):
        pad = shamir.combine(dict(pair), 2)
        assert pad != owner.face_key(gallery.sealed.uid, 0)
    for private in rings.values():
        with pytest.raises(Tampered):
            open_grant(private, payload, context, ledger.created.scope_commit, shares)


# ---------------------------------------------------------------------- P5 revocation


def test_p5_final_before_the_last_commit_too_late_after_it(gallery: Gallery) -> None:
    world, owner = gallery.world, gallery.owner
    bob = world.recipient(4)
    owner.grant(gallery.sealed.uid, None, bob.wallet)  # another route, which no revocation below touches
    for commits in (0, 1, 2):
        record = owner.grant(gallery.sealed.uid, 1, bob.wallet)
        bob.request(record.grant_id)
        settle(*(world.keeper(index) for index in range(1, commits + 1)))
        result = owner.revoke(record.grant_id)
        settle(*(world.keeper(index) for index in (1, 2, 3)))
        (revoked,) = owner.registry.events([GrantRevoked], grant=record.grant_id)
        if commits < 2:
            assert not result.opened and not revoked.opened and "before it was opened" in result.text
            with pytest.raises(Refused, match="before it was opened"):
                bob.collect(record.grant_id, timeout=0)
            # One of three may be dishonest (n-t+1 are not): its share is the only one that can get out.
            assert not owner.registry.events([ShareDelivered], grant=record.grant_id)
        else:
            assert result.opened and revoked.opened and "cannot be recalled" in result.text
            assert bob.collect(record.grant_id, timeout=0).key == owner.face_key(gallery.sealed.uid, 1)
        # The keepers that had not committed never do.
        found = owner.registry.events([ReleaseCommitted], grant=record.grant_id)
        assert len(found) == commits
        # Other grants to the same wallet are listed, none is touched.
        assert {route.kind for route in result.routes} <= {"live", "opened", "direct"} and result.routes


# ---------------------------------------------------------------------- P6 audit


def test_p6_anyone_recomputes_and_absence_is_noticed(gallery: Gallery) -> None:
    """An auditor who holds nothing gets every receipt, tied to a block hash; a node that hides one is caught."""
    world, owner = gallery.world, gallery.owner
    bob = world.recipient(4)
    record = owner.grant(gallery.sealed.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    settle(world.keeper(2), world.keeper(3))
    owner.revoke(record.grant_id)
    report = audit(Registry(world.url, world.address))
    assert report.complete and len(report.block_hash) == 32 and report.limits
    told = [moment.kind for moment in report.timeline if moment.grant == record.grant_id]
    receipts = ["ReleaseCommitted", "ReleaseCommitted", "GrantOpened"]
    assert [kind for kind in told if kind != "ShareDelivered"] == [
        "GrantCreated",
        "AccessRequested",
        *receipts,
        "GrantRevoked",
    ]
    (late,) = [a for a in report.anomalies if a.kind is Kind.REVOKED_TOO_LATE and a.grant == record.grant_id]
    assert "cannot be recalled" in late.text
    assert audit(Registry(world.url, world.address), block=report.block).timeline == report.timeline

    hidden = [layouts()[kind].topic.hex() for kind in (ReleaseCommitted, GrantOpened)]

    def hide(question: dict[str, Any], ask: Any) -> Any:
        answer = ask()
        if question["method"] == "eth_getLogs":
            answer["result"] = [log for log in answer["result"] if log["topics"][0][2:] not in hidden]
        return answer

    with RpcProxy(world.url, hide) as proxy:
        caught = audit(Registry(proxy.url, world.address))
    assert not caught.complete
    assert record.grant_id in {a.grant for a in caught.anomalies if a.kind is Kind.MISSING_HISTORY}


# ---------------------------------------------------------------------- P7 verified reading


class _Altered:
    """A store that changes one byte of one file."""

    def __init__(self, inner: LocalStore, name: str) -> None:
        self.inner, self.file, self.name = inner, name, "altered"

    def get(self, cid: str, **options: Any) -> Mapping[str, bytes]:
        files = dict(self.inner.get(cid, **options))
        data = bytearray(files[self.file])
        data[len(data) // 2] ^= 1
        return {**files, self.file: bytes(data)}


@pytest.mark.parametrize("name", ["image.png", "pose.json", "faces.cbor", "manifest.json"])
def test_p7_altered_files_are_not_used(gallery: Gallery, name: str) -> None:
    """A store that does not verify is caught by the digests in the manifest or by the chain."""
    store: Any = _Altered(gallery.store, name)
    with pytest.raises((Tampered, FormatError)):
        load_capture(gallery.owner.registry, store, gallery.album.album_id, gallery.sealed.uid)


def test_p7_every_block_on_disk(gallery: Gallery) -> None:
    blocks = sorted((gallery.store.folder / "blocks").rglob("baf*"))
    assert len(blocks) >= 5
    for path in blocks:
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        try:
            with pytest.raises(Tampered):
                gallery.capture(gallery.owner.registry)
        finally:
            path.write_bytes(good)


def test_p7_a_lying_rpc(gallery: Gallery) -> None:
    """An endpoint that names another digest in its logs is caught by the contract's storage."""
    digest = gallery.owner.capture(gallery.sealed.uid).digest.hex()

    def lie(question: dict[str, Any], ask: Any) -> Any:
        answer = ask()
        if question["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["data"] = log["data"].replace(digest, "ab" * 32)
        return answer

    with RpcProxy(gallery.world.url, lie) as proxy:
        registry = Registry(proxy.url, gallery.world.address)
        with pytest.raises(Tampered, match="do not match the contract"):
            gallery.capture(registry)


# ---------------------------------------------------------------------- P8 clear failure


def test_p8_wrong_keys_and_wallets(gallery: Gallery) -> None:
    """Each mistake has its own error, and none gives pixels."""
    world, owner, uid = gallery.world, gallery.owner, gallery.sealed.uid
    capture = gallery.capture(owner.registry)
    picture = decode(capture.image_png, capture.manifest.width, capture.manifest.height)
    with pytest.raises(NotForMe, match="not that of face 0"):
        open_exact(capture, picture, 0, owner.face_key(uid, 1))
    with pytest.raises(NotForMe):
        open_exact(capture, picture, 1, Secret.random())
    with pytest.raises(FormatError, match="no face 7"):
        open_exact(capture, picture, 7, Secret.random())
    record = owner.grant(uid, 0, world.accounts[4].address)
    stranger = world.recipient(5)
    with pytest.raises(NotForMe, match="not for"):
        stranger.request(record.grant_id)
    with pytest.raises(Refused, match="not granted"):
        stranger.find(uid, 0)


def test_p8_a_wrong_key_from_the_owner_is_the_owners_fault(gallery: Gallery) -> None:
    """The commitment tells a wrongly sealed key from a damaged file."""
    world, owner = gallery.world, gallery.owner
    bob = world.recipient(4)
    capture = gallery.capture(bob.registry)
    wrong = Secret.random()
    original = owner.face_key
    owner.face_key = lambda uid, index: wrong  # type: ignore[method-assign]
    try:
        record = owner.grant(gallery.sealed.uid, 0, bob.wallet, direct=True)
    finally:
        owner.face_key = original  # type: ignore[method-assign]
    with pytest.raises(Tampered, match="commitment of the face") as blamed:
        opened_face_key(bob.open_direct(record.grant_id), capture, 0)
    assert "owner granted a wrong key" in blamed.value.hint


def test_p8_a_replayed_envelope(gallery: Gallery) -> None:
    """An envelope copied into another grant, or to another wallet, does not open there."""
    world, owner = gallery.world, gallery.owner
    bob, eve = world.recipient(4), world.recipient(5)
    record = owner.grant(gallery.sealed.uid, 0, bob.wallet, direct=True)
    event = next(e for e in owner.registry.events() if getattr(e, "payload", None) and e.grant_id == record.grant_id)
    for wallet, reader in ((bob.wallet, bob), (eve.wallet, eve)):
        params = GrantParams(
            gallery.album.album_id,
            hashlib.sha256(wallet.encode()).digest(),
            event.scope_commit,
            wallet,
            reader.registry.active_key(wallet, 1),
            0,
            0,
            event.payload,
        )
        owner.registry.grant(params)
        with pytest.raises(Tampered, match="moved to another place"):
            reader.open_direct(params.grant_id)
