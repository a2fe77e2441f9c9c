"""The demo's story: sealing, what the public sees, granting, releasing, opening, revoking.

The attempts that must fail are in `attempts.py`, the audit in `auditing.py`.
"""

from __future__ import annotations

import hashlib
import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.chain.events import CaptureRegistered, GrantCreated
from ffem_chain.errors import InputError, Tampered
from ffem_chain.keys.grants import OpenedGrant
from ffem_chain.keys.secret import Secret
from ffem_chain.labels import OWNER_KEEPER_LABEL
from ffem_chain.roles.ledger import read_ledger
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.reading import load_capture, opened_face_key
from ffem_chain.roles.recipient import Recipient
from ffem_chain.roles.records import GrantRecord
from ffem_cli.demo.measuring import differing, flow_pixels, owners, psnr
from ffem_cli.demo.telling import Teller, count, short, size
from ffem_cli.opener import draw
from ffem_cli.pictures import FAKE_TEMPERATURE, pixels_of
from ffem_cli.sandbox import Sandbox
from ffem_node.keeper import Keeper
from ffem_node.seal import Sealed, seal_photo

if TYPE_CHECKING:
    from ffem_chain.faces.finding.detect import Detector
    from ffem_chain.faces.flow.weights import Model
    from ffem_chain.faces.posing.pose import PoseEstimator

Picture = NDArray[np.uint8]
ALBUM, DAYS = "demo", 30


class Story:
    """The people of the demo, and what they do. `picture` u8[H,W,3] is the photo as read."""

    def __init__(
        self, teller: Teller, box: Sandbox, model: Model, detector: Detector, pose: PoseEstimator, picture: Picture
    ) -> None:
        self.teller, self.box, self.picture = teller, box, picture
        self.model, self.detector, self.pose = model, detector, pose
        self.pictures: dict[str, Picture] = {"original.png": picture}

    # ------------------------------------------------------------------ who takes part

    def people(self) -> Keeper:
        """Three wallets with keystores and vaults, the owner's album, and the keeper that serves it."""
        with self.teller.act("people", "Three wallets, an album, a keeper") as act:
            act.working("making wallets")
            owner, recipient, self.stranger_person = map(self.box.person, ("owner", "recipient", "stranger"))
            self.owner_person, self.recipient_person = owner, recipient
            self.owner = Owner(owner.registry, owner.vault, owner.account)
            self.recipient = Recipient(recipient.registry, recipient.vault, recipient.account)
            self.album = self.owner.create_album(ALBUM)
            keeper = Keeper(self.box.signing(owner.account), owner.vault, owner.account)
            for proposal in keeper.proposals():
                keeper.accept(proposal.keeper_set)
            act.say(
                f"owner      {owner.wallet}, the camera, and the album's only keeper: {OWNER_KEEPER_LABEL}",
                f"recipient  {recipient.wallet}, whom the owner trusts",
                f"stranger   {self.stranger_person.wallet}, whom nobody trusts",
                owner=owner.wallet,
                recipient=recipient.wallet,
                stranger=self.stranger_person.wallet,
                album=self.album.album_id,
            )
        people = (owner, recipient, self.stranger_person)
        self.teller.names = {person.wallet: f"the {person.name}" for person in people}
        return keeper

    # ------------------------------------------------------------------ sealing

    def seal(self) -> None:
        """Find and seal the faces, pin the capture, register its digest."""
        height, width = self.picture.shape[:2]
        with self.teller.act("seal", "The camera finds the faces and seals them") as act:
            sealed = self._seal(act.working)
            act.say(*self._sealed_lines(sealed), width=width, height=height, **vars(sealed))
        with self.teller.act("register", "The digest goes on the chain") as act:
            # What a camera does that was offline when it took the picture; `seal_photo` can do both at once.
            record = self.owner.register_capture(sealed.uid)
            (event,) = self.owner.registry.events([CaptureRegistered], uid=sealed.uid)
            gas = self.box.gas_of(event.tx)
            act.say(
                f"capture {short(sealed.uid)}, digest {record.digest.hex()} (which is the CID's own)",
                f"transaction 0x{event.tx.hex()} in block {event.block}, {gas:,} gas",
                digest=record.digest,
                tx=event.tx,
                block=event.block,
                gas=gas,
            )
        self.uid = sealed.uid

    def _seal(self, working: Any) -> Sealed:
        sealed = seal_photo(
            self.picture,
            self.owner,
            ALBUM,
            None,
            self.box.store,
            self.model,
            self.detector,
            pose=self.pose,
            allow_no_faces=True,
            on_progress=lambda stage: working(f"sealing: {stage}"),
        )
        if not sealed.faces:
            found = f"{count(sealed.covered, 'face')} found, too small to open again" if sealed.covered else "no face"
            raise InputError(f"{found} in this photo", "the demo needs a photo with a face of 24 pixels or more")
        return sealed

    def _sealed_lines(self, sealed: Sealed) -> list[str]:
        height, width = self.picture.shape[:2]
        ms, files = sealed.timings_ms, sealed.bytes
        lines = [
            f"{width} x {height} pixels, {count(sealed.faces + sealed.covered, 'face')} found in {ms['detect']:.0f} ms",
            f"{count(sealed.faces, 'face')} sealed: flow {ms['encode']:.0f} ms, rotation {ms['rotate']:.0f} ms, "
            f"exact layer {ms['exact']:.0f} ms",
            f"pinned as {sealed.cid}, {size(sum(files.values()))}: "
            + ", ".join(f"{name} {size(length)}" for name, length in sorted(files.items())),
        ]
        if sealed.covered:
            lines.insert(2, f"{count(sealed.covered, 'face')} smaller than 24 pixels: covered for ever")
        return lines

    # ------------------------------------------------------------------ the public

    def public(self) -> None:
        """What everybody sees, from the chain and the store alone, and what anybody may decode from it."""
        from ffem_chain.faces.readers import fake

        with self.teller.act("public", "What everybody sees") as act:
            act.working("fetching and verifying the capture")
            self.capture = load_capture(self.box.reader(), self.box.store, self.album.album_id, self.uid)
            shown = pixels_of(self.capture)
            self.pictures["encrypted.png"] = shown
            act.working("decoding a fake face")
            self.pictures["fake.png"] = fake(self.capture, shown, FAKE_TEMPERATURE, self.model)
            mask = owners(self.capture) >= 0
            hidden, kept = int(mask.sum()), bool(np.array_equal(shown[~mask], self.picture[~mask]))
            act.say(
                "fetched by the digest on the chain, every byte checked against it before it was used",
                f"encrypted.png: {hidden:,} of {mask.size:,} pixels show ciphertext, "
                + ("all others are the photo's" if kept else "and others differ from the photo"),
                "fake.png: what anybody may decode without any key, a fake instead of each face "
                f"(temperature {FAKE_TEMPERATURE})",
                covered_pixels=hidden,
                others_unchanged=kept,
                temperature=FAKE_TEMPERATURE,
            )

    # ------------------------------------------------------------------ granting and opening

    def grant(self) -> GrantRecord:
        """The owner lets the recipient open the capture, for some days."""
        with self.teller.act("grant", "The owner grants the capture to the recipient") as act:
            version = self.recipient.register_key()
            expires = datetime.now(UTC) + timedelta(days=DAYS)
            record = self.owner.grant(self.uid, None, self.recipient.wallet, expires=expires)
            (event,) = self.owner.registry.events([GrantCreated], grant=record.grant_id)
            gas = self.box.gas_of(event.tx)
            act.say(
                f"grant {short(record.grant_id)} for {DAYS} days, sealed to the recipient's encryption key "
                f"(version {version}): block {event.block}, {gas:,} gas",
                "it holds the key under a pad; the pad comes from the keeper, who never sees the key",
                grant=record.grant_id,
                block=event.block,
                tx=event.tx,
                gas=gas,
                expires=expires,
            )
        return record

    def release(self, record: GrantRecord) -> OpenedGrant:
        """The recipient asks; the keeper commits, then delivers; the receipts of all three."""
        with self.teller.act("release", "The recipient asks, the keeper releases: the receipts") as act:
            act.working("waiting for the keeper")
            start = time.monotonic()
            self.recipient.request(record.grant_id)
            opened = self.recipient.collect(record.grant_id, timeout=60.0)
            seconds = time.monotonic() - start
            ledger = read_ledger(self.box.reader(), record.grant_id)
            receipts = []
            for what, event in (
                ("request", ledger.requests[1]),
                ("commit", ledger.commits[0]),
                ("deliver", ledger.deliveries[0]),
            ):
                gas = self.box.gas_of(event.tx)
                receipts.append({"what": what, "block": event.block, "tx": event.tx, "gas": gas})
                act.say(f"{what:8} block {event.block:3}  {gas:7,} gas  0x{event.tx.hex()}")
            act.say(
                f"released {seconds:.1f} s after the request",
                receipts=receipts,
                release_seconds=round(seconds, 3),
            )
        return opened

    def open(self, opened: OpenedGrant) -> None:
        """The recipient opens every face: by the exact layer, and by the flow alone."""
        with self.teller.act("open", "The recipient opens the faces") as act:
            keys = {f.index: opened_face_key(opened, self.capture, f.index) for f in self.capture.faces}
            picture = draw(self.capture, keys, None)
            self.pictures["opened.png"] = picture
            wrong = differing(self.capture, picture, self.picture)
            before, after = (hashlib.sha256(p.tobytes()).hexdigest() for p in (self.picture, picture))
            self.identical = before == after
            lost = len(self.capture.public_faces) - len(keys)
            if wrong:
                raise Tampered(f"{wrong} opened pixels differ from the photo: this is a fault", "please report it")
            act.say(
                f"opened.png: all {self.picture.size // 3:,} pixels equal the photo's, bit for bit"
                if not lost
                else f"opened.png: every pixel equals the photo's, bit for bit, but for {count(lost, 'face')} that "
                "were too small and are covered for ever",
                f"photo   sha256 {before}",
                f"opened  sha256 {after}",
                identical=self.identical,
                photo_sha256=before,
                opened_sha256=after,
            )
        self._open_by_flow(keys)

    def _open_by_flow(self, keys: dict[int, Secret]) -> None:
        with self.teller.act("flow", "The same key without the exact layer: the flow alone") as act:
            act.working(f"decoding {count(len(keys), 'face')}")
            picture = draw(self.capture, keys, self.model)
            self.pictures["opened-by-flow.png"] = picture
            self.psnr = psnr(picture, self.picture, flow_pixels(self.capture, keys))
            act.say(
                f"opened-by-flow.png: an approximation, PSNR {self.psnr:.1f} dB where the flow draws the face",
                "the rest of the box is filled in from around it: only the exact layer holds that",
                psnr_db=round(self.psnr, 2) if math.isfinite(self.psnr) else None,
            )

    # ------------------------------------------------------------------ revoking

    def revoke(self, record: GrantRecord) -> None:
        """The owner revokes what has been opened: too late for what is out, final for what comes."""
        with self.teller.act("revoke", "The owner revokes the recipient's grant, after the opening") as act:
            result = self.owner.revoke(record.grant_id)
            act.say(
                f"block {result.block}: {result.text}",
                f"other routes still open to the recipient: {len(result.routes) or 'none'}",
                block=result.block,
                opened_block=result.opened_block,
                routes=[route.text for route in result.routes],
            )
