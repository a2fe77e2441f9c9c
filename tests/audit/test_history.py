"""The history from logs, against the storage: whole where it is whole, and noticed where one log is missing."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
import rlp
from eth_abi import encode
from eth_utils import keccak
from trie import HexaryTrie

from ffem_chain.audit.model import Kind, Report, Severity
from ffem_chain.audit.proofs import Prover, account_proof, header_of, read_header, storage_word
from ffem_chain.audit.run import audit
from ffem_chain.audit.storage import capture_slot, grant_slot, storage_root, words
from ffem_chain.chain import events as ev
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import ChainUnavailable, FfemError, Tampered
from tests.support.liar import Edit, dropping, honest, lying, on_logs, without_proofs

from .story import Story

WHOLE_ENTRIES = (
    ev.CaptureRegistered,
    ev.CapturesRegistered,
    ev.GrantCreated,
    ev.AlbumCreated,
    ev.KeyRegistered,
    ev.KeeperSetProposed,
)
OF_CROWDS = (ev.CapturesRegistered, ev.GrantsBatched, ev.NoncesUsed, ev.RecoveryPublished)
STATE_CHANGING = [k for k in ev.KINDS if k not in (ev.ShareDelivered, ev.GrantOpened, *OF_CROWDS)]


def heard(story: Story, edit: Edit, **options: Any) -> Report:
    """An audit through a lying node."""
    with lying(story.world.url, edit) as url:
        return audit(Registry(url, story.world.address, any_code=True), **options)


def missing(report: Report) -> list[str]:
    """What the audit says is missing."""
    return [a.text for a in report.anomalies if a.kind is Kind.MISSING_HISTORY]


def test_the_whole_storage_is_rebuilt_from_events(story: Story) -> None:
    registry = story.world.registry(9)
    report = audit(registry)
    assert report.complete and not missing(report)
    assert "block's hash proves" in report.basis
    header = read_header(registry.rpc, report.block)
    assert header.proven and header.hash == report.block_hash and header.time == report.time
    # Each word by itself, and the contract's own views.
    expected = words(report.history)
    assert Prover(registry, header).read(list(expected)) == {slot: word.value for slot, word in expected.items()}
    for grant, ledger in report.history.grants.items():
        assert registry.grant_state(grant, block=report.block) == ledger.state
    states = [ledger.state for ledger in report.history.grants.values()]
    assert registry.grant_states(list(report.history.grants), block=report.block) == states
    assert registry.grant_states([bytes(32)])[0].status.name == "NONE" and registry.grant_states([]) == []
    for (wallet, version), key in report.history.keys.items():
        view = registry.key(wallet, version)
        assert (view.status, view.suite) == (key.status, key.registered.suite)
    for name, album in report.history.albums.items():
        there = registry.album(name)
        assert (there.owner, there.epoch) == (album.created.owner, len(album.epochs))
        assert (there.current_keeper_set, there.latest_keeper_set) == (album.current, max(album.keeper_sets))
    assert {type(event) for event in report.history.events} == set(ev.KINDS) - set(OF_CROWDS)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 400])
def test_the_root_is_the_one_of_the_trie(count: int) -> None:
    """Against py-trie, with values of every length; zeros are not in the trie."""
    values = {secrets.token_bytes(32): secrets.randbits(8 * (1 + number % 32)) for number in range(count)}
    slow = HexaryTrie({}, prune=True)
    for slot, value in values.items():
        if value:
            slow[keccak(slot)] = rlp.encode(value)
    assert storage_root(values) == storage_root({**values, b"\1" * 32: 0}) == slow.root_hash


@pytest.mark.parametrize("proofs", [True, False])
def test_one_missing_log_of_any_kind(story: Story, proofs: bool) -> None:
    """Every log that changes the state, left out one kind at a time (the last of its kind).

    Without proofs, an entry that is hidden altogether cannot be noticed: see the next test but one.
    """
    events = story.world.registry(9).events()
    kinds = STATE_CHANGING if proofs else [kind for kind in STATE_CHANGING if kind not in WHOLE_ENTRIES]
    for kind in kinds:
        last = [event for event in events if isinstance(event, kind)][-1]
        edit = dropping(lambda event, last=last: (event.block, event.log_index) == (last.block, last.log_index))
        report = heard(story, edit if proofs else without_proofs(edit))
        assert missing(report), kind
        assert not report.complete
        assert report.worst is Severity.BROKEN


def test_an_opening_that_is_hidden(story: Story) -> None:
    report = heard(story, dropping(lambda event: isinstance(event, ev.GrantOpened)))
    assert any("contradict" in text for text in missing(report))


def test_entries_hidden_altogether(story: Story) -> None:
    """Proofs show that there is more than the logs tell; a node without proofs can hide it, and the report says so."""
    hidden, uid = story.id("asked"), story.another
    edit = dropping(lambda event: hidden == getattr(event, "grant_id", b"") or uid == getattr(event, "uid", b""))
    report = heard(story, edit)
    assert missing(report) == [
        "the contract's storage holds more than the logs account for: whole entries are missing from them"
    ]
    blind = heard(story, without_proofs(edit))
    assert not missing(blind) and not blind.complete
    assert "entries that it hides altogether cannot be noticed" in blind.basis
    assert any("completeness" in limit for limit in blind.limits)


def test_an_altered_log_is_named(story: Story) -> None:
    opened = story.id("opened")

    def change(log: dict[str, Any], event: ev.Event) -> dict[str, Any]:
        if isinstance(event, ev.GrantCreated) and event.grant_id == opened:
            return {
                **log,
                "data": log["data"][:-130] + ("00" if log["data"][-130:-128] != "00" else "11") + log["data"][-128:],
            }
        return log

    report = heard(story, on_logs(change))
    assert missing(report) == [f"the logs of grant {opened.hex()[:16]} do not give what the contract's storage holds"]
    (found,) = [a for a in report.anomalies if a.kind is Kind.MISSING_HISTORY]
    assert found.grant == opened and "another RPC" in found.hint


def test_a_revocation_that_is_made_to_look_late(story: Story) -> None:
    """Nothing in the storage depends on what its log says of the opening: only the commits contradict it."""

    def change(log: dict[str, Any], event: ev.Event) -> dict[str, Any]:
        if isinstance(event, ev.GrantRevoked):
            return {**log, "data": "0x" + encode(["bool", "uint8"], [True, 1]).hex()}
        return log

    (text,) = missing(heard(story, on_logs(change)))
    assert text.endswith("the commits in the logs are not those that its revocation names")


def test_delivered_bytes_that_differ(story: Story) -> None:
    def change(log: dict[str, Any], event: ev.Event) -> dict[str, Any]:
        if isinstance(event, ev.ShareDelivered) and event.index == 1:
            return {**log, "data": log["data"].replace(event.sealed_share.hex(), event.sealed_share[::-1].hex())}
        return log

    report = heard(story, on_logs(change))
    (found,) = [a for a in report.anomalies if a.kind is Kind.DELIVERY_MISMATCH]
    assert found.severity is Severity.BROKEN and found.grant == story.id("opened")
    assert story.world.accounts[2].address in found.text


def test_hidden_deliveries_accuse_a_keeper_and_the_report_says_so(story: Story) -> None:
    report = heard(story, dropping(lambda event: isinstance(event, ev.ShareDelivered)), patience=0)
    assert report.complete  # the storage knows nothing of deliveries
    accused = [a for a in report.anomalies if a.kind is Kind.UNDELIVERED_COMMIT]
    assert accused and all("another RPC may have it" in a.hint for a in accused)
    assert any("a node could hide a delivery" in limit for limit in report.limits)


def test_proofs_that_do_not_hold(story: Story) -> None:
    def damaged(method: str, _: list[Any], result: Any) -> Any:
        if method == "eth_getProof":
            result["accountProof"][-1] = result["accountProof"][-1][:-2] + "ff"
        return result

    def emptied(method: str, _: list[Any], result: Any) -> Any:
        return {**result, "accountProof": []} if method == "eth_getProof" else result

    def other_state(method: str, _: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and result:
            return {**result, "stateRoot": "0x" + "11" * 32}
        return result

    for edit in (damaged, emptied, other_state):
        with pytest.raises(Tampered):
            heard(story, edit)


@pytest.mark.parametrize("junk", [5, {}, {"accountProof": ["0xzz"]}, None])
@pytest.mark.parametrize("method", ["eth_getProof", "eth_getBlockByNumber", "eth_getStorageAt"])
def test_nonsense_from_a_node_is_one_error(story: Story, method: str, junk: Any) -> None:
    def answers(asked: str, _: list[Any], result: Any) -> Any:
        return junk if asked == method else result

    edit = without_proofs(answers) if method == "eth_getStorageAt" else answers
    try:
        report = heard(story, edit)
    except FfemError:
        return
    # What is no proof is like a node that gives none, and what is no word differs from the one that is expected.
    assert not report.complete and (method == "eth_getProof" or missing(report))


def test_no_damaged_proof_is_believed(story: Story) -> None:
    """Any byte of it, and any bytes instead of it, give one error."""
    registry = story.world.registry(9)
    header = read_header(registry.rpc, "latest")
    account = Prover(registry, header).account
    assert account is not None
    assert account_proof(registry.address, header.state_root, account.nodes) == account
    damaged = [tuple(secrets.token_bytes(40) for _ in account.nodes) for _ in range(20)]
    for number, node in enumerate(account.nodes):
        for position in range(0, len(node), 7):
            changed = bytearray(node)
            changed[position] ^= 1 << position % 8
            damaged.append((*account.nodes[:number], bytes(changed), *account.nodes[number + 1 :]))
    for nodes in damaged:
        with pytest.raises(Tampered):
            account_proof(registry.address, header.state_root, nodes)


def test_a_header_that_its_hash_does_not_cover(story: Story) -> None:
    """A node that moves the clock gives a block whose hash cannot be recomputed: nothing is called proven then."""

    def later(method: str, _: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and result:
            return {**result, "timestamp": hex(int(result["timestamp"], 16) + 86_400)}
        return result

    report = heard(story, later)
    assert not report.complete and "node's word" in report.basis


def test_times_that_no_hash_covers(story: Story) -> None:
    """Moved times of older blocks could accuse a keeper: the report says that they are the node's word."""
    asked = next(e for e in story.world.registry(9).events([ev.AccessRequested]) if e.grant_id == story.id("asked"))

    def earlier(method: str, parameters: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and parameters[0] == hex(asked.block):
            return {**result, "timestamp": hex(int(result["timestamp"], 16) - 86_400)}
        return result

    report = heard(story, earlier)
    assert any(a.kind is Kind.SILENT_KEEPER for a in report.anomalies)
    assert any(limit.startswith("the times of 1 blocks") for limit in report.limits)
    assert not any(limit.startswith("the times of") for limit in audit(story.world.registry(9)).limits)


def test_absence_is_proven(story: Story) -> None:
    registry = story.world.registry(9)
    header = read_header(registry.rpc, "latest")
    prover = Prover(registry, header)
    album = story.scene.album.album_id
    there, not_there = capture_slot(album, story.scene.uid), capture_slot(album, b"\x11" * 32)
    found = prover.read([there, not_there, grant_slot(story.id("opened")), grant_slot(b"\x11" * 32)])
    assert [value != 0 for value in found.values()] == [True, False, True, False]
    assert found[there].to_bytes(32, "big") == registry.capture_hash(album, story.scene.uid)
    # A proof of one slot proves nothing about another.
    (answer,) = [registry.rpc.provider.make_request("eth_getProof", [registry.address, ["0x" + there.hex()], "latest"])]
    nodes = [bytes.fromhex(node[2:]) for node in answer["result"]["storageProof"][0]["proof"]]
    assert prover.account is not None
    assert storage_word(prover.account.storage_root, there, nodes) == found[there]
    with pytest.raises(Tampered):
        storage_word(prover.account.storage_root, there, nodes[:-1])
    with pytest.raises(Tampered):
        storage_word(b"\x11" * 32, there, nodes)


def test_a_trusted_block_hash(story: Story) -> None:
    registry = story.world.registry(9)
    header = read_header(registry.rpc, "latest")
    by_hash, by_number = audit(registry, block=header.hash), audit(story.world.registry(8), block=header.number)
    assert by_hash == by_number  # two auditors with nothing
    earlier = audit(registry, block=registry.events([ev.GrantCreated])[0].block)
    assert earlier.complete and len(earlier.history.grants) == 1
    with pytest.raises(ChainUnavailable, match="no block"):
        audit(registry, block=b"\x11" * 32)
    with pytest.raises(ChainUnavailable, match="no block"):
        audit(registry, block=10**9)

    def replaced(method: str, _: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByHash":
            return registry.rpc.provider.make_request("eth_getBlockByNumber", ["0x1", False])["result"]
        return result

    with pytest.raises(Tampered, match="another block"):
        heard(story, replaced, block=header.hash)
    genesis = registry.rpc.provider.make_request("eth_getBlockByNumber", ["0x0", False])["result"]
    assert header_of(genesis).proven


def test_code_is_checked(story: Story) -> None:
    def forged(method: str, _: list[Any], result: Any) -> Any:
        return result[:-2] + "00" if method == "eth_getCode" else result

    report = heard(story, forged)
    assert [a.kind for a in report.anomalies] == [Kind.UNKNOWN_CODE] and not report.timeline
    # The registry's code, in an answer about an address where the block's state has none.
    code = story.world.registry(9).code()

    def elsewhere(method: str, _: list[Any], result: Any) -> Any:
        return "0x" + code.hex() if method == "eth_getCode" else result

    with lying(story.world.url, elsewhere) as url, pytest.raises(Tampered):
        audit(Registry(url, story.world.accounts[9].address, any_code=True))


def test_an_honest_proxy_changes_nothing(story: Story) -> None:
    assert heard(story, honest).complete


def test_nodes_that_limit_batches(story: Story) -> None:
    """Whether they answer a large batch with one error or with too few answers, smaller ones are asked."""
    registry = story.world.registry(9)
    whole, batch = audit(registry), registry.rpc.provider.make_batch_request
    refusal = {"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "batch too large"}}
    for refused in ([refusal], refusal, []):

        def limited(part: Any, refused: Any = refused) -> Any:
            return batch(part) if len(part) <= 3 else refused

        registry.rpc.provider.make_batch_request = limited
        assert audit(registry, block=whole.block) == whole
    registry.rpc.provider.make_batch_request = lambda part: [refusal for _ in part]
    with pytest.raises(ChainUnavailable, match="batch too large"):
        audit(registry)
