"""What must fail, tried for real: a stranger, a grant taken back in time, a replayed envelope, a changed byte."""

from __future__ import annotations

from ffem_chain.capture.format import FACES
from ffem_chain.capture.model import Capture
from ffem_chain.chain.events import GrantCreated
from ffem_chain.chain.types import GrantParams
from ffem_chain.errors import NotForMe, Refused, Tampered
from ffem_chain.keys.grants import parse_payload, read_scope
from ffem_chain.keys.suites import SECP256K1, PrivateKey
from ffem_chain.roles.ledger import read_ledger
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.recipient import Recipient
from ffem_chain.roles.records import GrantRecord
from ffem_cli.demo.story import ALBUM, Story
from ffem_cli.demo.telling import refusal, short


def stranger(story: Story, record: GrantRecord) -> None:
    """A wallet without a grant asks: through the tools, and by calling the contract itself."""
    person = story.stranger_person
    wallet = Recipient(person.registry, person.vault, person.account)
    with story.teller.act("stranger", "A stranger tries") as act:
        wallet.register_key()
        own = PrivateKey.generate(SECP256K1)
        by_tool = refusal(Refused, lambda: wallet.find(story.uid))
        asking = refusal(NotForMe, lambda: wallet.request(record.grant_id))
        by_contract = refusal(
            Refused, lambda: wallet.registry.request_access(record.grant_id, bytes([SECP256K1]) + own.public)
        )
        act.say(
            f"asks for the capture, the tool: {by_tool}",
            f"asks with the recipient's grant, the tool: {asking}",
            f"calls the contract itself: {by_contract}",
            "so the stranger has encrypted.png, like everybody",
            tool=[by_tool, asking],
            contract=by_contract,
        )


def mistake(story: Story) -> None:
    """The owner grants the wrong wallet, and revokes before it has asked."""
    person = story.stranger_person
    wallet = Recipient(person.registry, person.vault, person.account)
    with story.teller.act("mistake", "A grant to the wrong wallet, revoked before it was opened") as act:
        record = story.owner.grant(story.uid, None, wallet.wallet)
        result = story.owner.revoke(record.grant_id)
        own = PrivateKey.generate(SECP256K1)
        by_tool = refusal(Refused, lambda: wallet.request(record.grant_id))
        by_contract = refusal(
            Refused, lambda: wallet.registry.request_access(record.grant_id, bytes([SECP256K1]) + own.public)
        )
        act.say(
            f"grant {short(record.grant_id)} to the stranger in block {record.block}: {result.text}",
            f"the stranger asks, the tool: {by_tool}",
            f"the stranger calls the contract: {by_contract}",
            grant=record.grant_id,
            granted_block=record.block,
            revoked_block=result.block,
            tool=by_tool,
            contract=by_contract,
        )


def replay(story: Story, record: GrantRecord) -> None:
    """The recipient's grant, byte for byte, on another deployment with the same wallets, album and keys."""
    with story.teller.act("replay", "The grant copied to another deployment, and a changed byte") as act:
        address = story.box.second_registry()
        owner, recipient = story.owner_person, story.recipient_person
        there = Owner(story.box.signing(owner.account, address), owner.vault, owner.account)
        there.create_album(ALBUM)
        number = there.registry.album(record.album_id).current_keeper_set
        key = story.recipient.ring.private(record.key_version)
        story.box.signing(recipient.account, address).register_key(key.suite, key.public)
        (created,) = story.owner.registry.events([GrantCreated], grant=record.grant_id)
        assert isinstance(created, GrantCreated)
        there.registry.grant(
            GrantParams(
                record.album_id,
                record.salt,
                created.scope_commit,
                record.recipient,
                record.key_version,
                record.expiry,
                number,
                created.payload,
            )
        )
        copy = read_ledger(there.registry, record.grant_id)
        payload = parse_payload(copy.created.payload, copy.created.suite, len(copy.keepers))
        context = copy.context(there.registry.deployment_id)
        moved = refusal(Tampered, lambda: read_scope(key, payload, context, copy.created.scope_commit))
        changed = refusal(Tampered, lambda: Capture.from_files(_one_byte_changed(story)))
        act.say(
            f"registry {address}, same payload, same key: {moved}",
            f"one byte of {FACES} changed: {changed}",
            registry=address,
            moved=moved,
            changed=changed,
        )


def _one_byte_changed(story: Story) -> dict[str, bytes]:
    files = story.box.store.get(story.owner.capture(story.uid).cid)
    faces = bytearray(files[FACES])
    faces[len(faces) // 2] ^= 1
    return {**files, FACES: bytes(faces)}
