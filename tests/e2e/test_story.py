"""The whole path on a real photo, a real chain and a real IPFS daemon, with three wallets and three keepers."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from ffem_chain.audit.model import Kind
from ffem_chain.audit.run import audit
from ffem_chain.capture.exact import open_exact
from ffem_chain.capture.picture import decode
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import NotForMe, Refused, StoreUnavailable
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_chain.faces.readers import fake, open_flow
from ffem_chain.roles.reading import load_capture, opened_face_key
from ffem_chain.stores import open_store
from ffem_devnet.anvil import Anvil
from ffem_devnet.ipfs import IpfsDaemon
from ffem_node.seal import seal_photo

from .test_release import deliver_wrong
from .world import World


def test_the_whole_story(anvil: Anvil, ipfs: IpfsDaemon, tmp_path: Path) -> None:
    world = World(anvil.url, deploy(anvil.url, anvil.accounts[9]), anvil.accounts, tmp_path)
    model, store, photo = load_model(), open_store(ipfs.url), np.ascontiguousarray(astronaut()[:400])

    # Keepers 1 to 3 serve; of these 1 is honest, 2 dead after accepting, and 3 will lie once.
    owner = world.owner()
    album = owner.create_album("family", [world.accounts[i].address for i in (1, 2, 3)], 2)
    for index in (1, 2, 3):
        keeper = world.keeper(index)
        keeper.accept(keeper.proposals()[0].keeper_set)
    recipient, stranger = world.recipient(4), world.recipient(5)
    recipient.register_key()
    stranger.register_key()

    sealed = seal_photo(photo, owner, "family", owner.registry, store, model, CenterFace())
    assert sealed.registered and sealed.faces == 1
    record = owner.grant(sealed.uid, None, recipient.wallet)
    assert recipient.request(record.grant_id).seq == 1
    deliver_wrong(world, 3, record.grant_id)

    # Keeper 1 runs as it does on a camera. Keeper 3's wrong share and keeper 2's silence leave one good share of two.
    stop = threading.Event()
    process = threading.Thread(target=world.keeper(1).run, args=(stop,), kwargs={"poll": 0.1})
    process.start()
    try:
        seen = []
        with pytest.raises(Exception, match="1 of 2 shares"):
            recipient.collect(record.grant_id, timeout=3, on_progress=seen.append)
        assert seen[-1].wrong == (world.accounts[3].address,)
        assert seen[-1].silent == (world.accounts[2].address,)
        # Keeper 3 comes to its senses for the next request.
        request = recipient.request(record.grant_id)
        honest = threading.Thread(target=world.keeper(3).run, args=(stop,), kwargs={"poll": 0.1})
        honest.start()
        opened = recipient.collect(record.grant_id, timeout=60)
        assert request.seq == 2
    finally:
        stop.set()
        process.join(20)
    honest.join(20)

    capture = load_capture(recipient.registry, store, album.album_id, sealed.uid)
    picture = decode(capture.image_png, capture.manifest.width, capture.manifest.height)
    key = opened_face_key(opened, capture, 0)
    assert np.array_equal(open_exact(capture, picture, 0, key), photo)
    box = capture.public_faces[0].box
    approximate = open_flow(capture, picture, 0, key, model)[box.rows, box.columns].astype(float)
    centre = (slice(box.height // 3, -box.height // 4), slice(box.width // 4, -box.width // 4))
    error = approximate[centre] - photo[box.rows, box.columns][centre]
    assert 10 * np.log10(255**2 / (error**2).mean()) > 22
    assert not np.array_equal(fake(capture, picture, 0.7, model), picture)

    with pytest.raises(Refused, match="not granted"):
        stranger.find(sealed.uid)
    with pytest.raises(NotForMe):
        stranger.request(record.grant_id)
    assert owner.revoke(record.grant_id).opened
    with pytest.raises(Refused, match="revoked"):
        recipient.request(record.grant_id)

    report = audit(Registry(world.url, world.address), stores=[store], patience=0)
    assert report.complete
    kinds = {anomaly.kind for anomaly in report.anomalies}
    assert {Kind.REVOKED_TOO_LATE, Kind.SILENT_KEEPER} <= kinds and Kind.NOT_SERVED not in kinds

    # Unpinned and collected, the capture is missed by the reader and by the audit.
    store.unpin(sealed.cid)
    _collect_garbage(ipfs)
    with pytest.raises(StoreUnavailable):
        load_capture(recipient.registry, store, album.album_id, sealed.uid)
    late = audit(Registry(world.url, world.address), stores=[store])
    assert Kind.NOT_SERVED in {anomaly.kind for anomaly in late.anomalies}


def _collect_garbage(ipfs: IpfsDaemon) -> None:
    import requests

    assert requests.post(f"{ipfs.url}/api/v0/repo/gc", timeout=60).status_code == 200
