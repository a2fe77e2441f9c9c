"""The registry client on a real Anvil: what it takes for a registry, refusals in sentences, outages."""

from __future__ import annotations

import secrets
import socket
from typing import Any

import pytest
from eth_account import Account
from eth_utils import keccak
from support.rpc_proxy import RpcProxy, error, result

from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.events import (
    AlbumCreated,
    CaptureRegistered,
    EpochOpened,
    GrantCreated,
    KeeperAccepted,
    KeeperSetActivated,
    KeeperSetProposed,
    KeyRegistered,
)
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.chain.reverts import ChainRefused
from ffem_chain.chain.rpc import Rpc
from ffem_chain.chain.sender import Sender
from ffem_chain.chain.types import GrantParams, GrantStatus, KeyStatus, album_id, grant_id
from ffem_chain.errors import ChainUnavailable, InputError, Refused, Tampered
from ffem_devnet.anvil import Anvil

SALT, COMMIT = b"\x01" * 32, b"\x02" * 32
PUBLIC = b"\x02" + b"\x11" * 32


def write(anvil: Anvil, address: str, index: int = 0, **options: Any) -> Registry:
    return Registry(anvil.url, address, account=anvil.accounts[index], **options)


def test_a_whole_album_in_views_and_events(anvil: Anvil, address: str) -> None:
    registry, wallet = write(anvil, address), anvil.accounts[0].address
    key = registry.register_key(1, PUBLIC)
    created = registry.create_album(SALT, COMMIT, [wallet], 1)
    album = album_id(wallet, SALT)
    assert [type(e) for e in created.events] == [
        AlbumCreated,
        EpochOpened,
        KeeperSetProposed,
        KeeperAccepted,
        KeeperSetActivated,
    ]
    uid, digest = secrets.token_bytes(32), secrets.token_bytes(32)
    registry.register_capture(album, uid, digest, COMMIT, 1, 77)
    params = GrantParams(album, SALT, COMMIT, wallet, 1, 0, created.events[2].keeper_set, b"payload")
    granted = registry.grant(params)
    assert granted.events[0].payload == b"payload" and granted.events[0].grant_id == params.grant_id
    assert params.grant_id == grant_id(album, SALT)

    reader = Registry(anvil.url, address)
    assert reader.deployment_id == registry.deployment_id and len(reader.deployment_id) == 32
    assert reader.key(wallet, 1).status is KeyStatus.ACTIVE
    assert reader.active_key(wallet, 1) == 1 and reader.active_key(wallet, 2) == 0
    assert reader.public_key(wallet, 1) == PUBLIC
    assert reader.album(album).owner == wallet and reader.album(album).epoch == 1
    assert reader.epoch_key_commit(album, 1) == COMMIT and not any(reader.epoch_key_commit(album, 2))
    assert reader.keeper_set(params.keeper_set).keepers == (wallet,)
    assert any(reader.capture_hash(album, uid)) and not any(reader.capture_hash(album, SALT))
    state = reader.grant_state(params.grant_id)
    assert (state.status, state.recipient, state.seq) == (GrantStatus.LIVE, wallet, 0)
    other = b"\x09" * 32
    assert reader.openable_by(wallet, [params.grant_id, other] * 300) == [GrantStatus.LIVE, GrantStatus.NONE] * 300
    # views of the past
    assert reader.grant_state(params.grant_id, block=granted.block - 1).status is GrantStatus.NONE

    everything = reader.events()
    assert [e.log_index for e in everything if e.block == created.block] == [0, 1, 2, 3, 4]
    assert [type(e) for e in reader.events([CaptureRegistered], uid=uid)] == [CaptureRegistered]
    assert reader.events([GrantCreated], recipient=anvil.accounts[5].address) == []
    assert reader.events([KeyRegistered, GrantCreated], to_block=key.block) == key.events
    with pytest.raises(ValueError, match="AlbumCreated cannot be filtered by uid"):
        reader.events([AlbumCreated], uid=uid)


def test_refusals_are_sentences(anvil: Anvil, address: str) -> None:
    registry = write(anvil, address)
    with pytest.raises(ChainRefused, match="does not exist on this registry") as refusal:
        registry.revoke(SALT, SALT)
    assert refusal.value.name == "NoSuchAlbum" and refusal.value.values == {"album": SALT} and refusal.value.hint
    with pytest.raises(ChainRefused, match="3 bytes does not fit suite 1"):
        registry.register_key(1, b"abc")
    with pytest.raises(InputError, match="opened for reading"):
        Registry(anvil.url, address).revoke(SALT, SALT)


def test_every_custom_error_has_a_sentence() -> None:
    from ffem_chain.chain.reverts import SENTENCES

    errors = {entry["name"]: entry["inputs"] for entry in artifact().abi if entry["type"] == "error"}
    assert set(SENTENCES) == set(errors)
    for name, inputs in errors.items():
        sentence, hint = SENTENCES[name]
        assert sentence.format(**{field["name"]: "X" for field in inputs}) and hint


def test_a_revert_that_the_estimate_did_not_see(anvil: Anvil, address: str) -> None:
    """Another transaction comes first: the mined one reverts, and its reason is found."""
    registry, rival = write(anvil, address), write(anvil, address)
    registry.create_album(SALT, COMMIT, [anvil.accounts[0].address], 1)
    album, uid = album_id(anvil.accounts[0].address, SALT), secrets.token_bytes(32)
    with RpcProxy(anvil.url) as proxy:
        late = Registry(proxy.url, address, account=anvil.accounts[0])

        def hook(question: dict[str, Any], ask: Any) -> Any:
            if question["method"] == "eth_getTransactionCount" and not any(rival.capture_hash(album, uid)):
                rival.register_capture(album, uid, COMMIT, COMMIT, 1, 1)
            return ask()

        # The nonce lock is this process's: the rival is another machine's sender, with a lock of its own.
        rival._sender = Sender(rival.rpc, anvil.accounts[0])
        late_sender = Sender(late.rpc, anvil.accounts[0])
        late_sender._turn = _nothing  # type: ignore[method-assign]
        late._sender = late_sender
        proxy.hook = hook
        with pytest.raises(ChainRefused, match="already registered") as refusal:
            late.register_capture(album, uid, COMMIT, COMMIT, 1, 1)
        assert refusal.value.name == "CaptureExists"


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_unknown_code_and_no_code(anvil: Anvil, address: str) -> None:
    with pytest.raises(ChainUnavailable, match="no contract"):
        Registry(anvil.url, anvil.accounts[3].address)
    # another contract: the registry's code with one byte changed
    rpc, account = Rpc(anvil.url), anvil.accounts[8]
    changed = bytearray(artifact().deployed)
    changed[-1] ^= 1
    rpc.provider.make_request("anvil_setCode", ["0x" + "77" * 20, "0x" + bytes(changed).hex()])
    with pytest.raises(ChainUnavailable, match="not the registry that this version"):
        Registry(anvil.url, "0x" + "77" * 20, account=account)
    assert Registry(anvil.url, "0x" + "77" * 20, any_code=True).code() == bytes(changed)


def test_deployments_differ_by_their_salt(anvil: Anvil) -> None:
    ids = {Registry(anvil.url, deploy(anvil.url, anvil.accounts[9])).deployment_id for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8545", "http://", "http://[", "http://h:0"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InputError):
        Rpc(url)


def test_nobody_answers() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ChainUnavailable, match="does not answer") as refusal:
        Registry(f"http://user:secret@127.0.0.1:{port}/key", "0x" + "11" * 20, timeout=1.0)
    assert "secret" not in refusal.value.message and "/key" not in refusal.value.message


def test_something_else_answers(anvil: Anvil, address: str) -> None:
    with RpcProxy(anvil.url, lambda question, ask: b"<html>hello</html>") as proxy, pytest.raises(ChainUnavailable):
        Registry(proxy.url, address)


def test_an_outage_in_between_is_survived(anvil: Anvil, address: str) -> None:
    with RpcProxy(anvil.url) as proxy:
        registry = Registry(proxy.url, address)
        failures = iter([None, None])

        def flaky(question: dict[str, Any], ask: Any) -> Any:
            return next(failures, ask) and ask()

        proxy.hook = flaky
        assert registry.latest_block() > 0


def test_logs_come_in_pieces_where_the_node_limits_them(anvil: Anvil, address: str) -> None:
    registry = write(anvil, address)
    for _ in range(5):
        registry.register_key(1, PUBLIC)
    whole = registry.events([KeyRegistered])
    spans: list[int] = []

    def limited(question: dict[str, Any], ask: Any) -> Any:
        if question["method"] == "eth_getLogs":
            first, last = (int(question["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
            if last - first >= 4:
                return error(question, "block range is too large, max is 4", -32005)
            spans.append(last - first + 1)
        return ask()

    with RpcProxy(anvil.url, limited) as proxy:
        pieces = Registry(proxy.url, address, from_block=whole[0].block - 9).events([KeyRegistered])
    assert pieces == whole and len(whole) == 5
    assert max(spans) <= 4 and len(spans) < 12


def test_a_node_that_refuses_logs_altogether(anvil: Anvil, address: str) -> None:
    def refuse(question: dict[str, Any], ask: Any) -> Any:
        return error(question, "history is pruned") if question["method"] == "eth_getLogs" else ask()

    with RpcProxy(anvil.url, refuse) as proxy, pytest.raises(ChainUnavailable, match="pruned"):
        Registry(proxy.url, address).events()


def test_altered_and_missing_logs_are_noticed(anvil: Anvil, address: str) -> None:
    registry, wallet = write(anvil, address), anvil.accounts[0].address
    registry.register_key(1, PUBLIC)

    def alter(question: dict[str, Any], ask: Any) -> Any:
        answer = ask()
        if question["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["data"] = log["data"].replace("11" * 32, "22" * 32)
        return answer

    def drop(question: dict[str, Any], ask: Any) -> Any:
        return result(question, []) if question["method"] == "eth_getLogs" else ask()

    for lie in (alter, drop):
        with RpcProxy(anvil.url, lie) as proxy, pytest.raises(Tampered, match="logs lack"):
            Registry(proxy.url, address).public_key(wallet, 1)


def test_an_empty_purse(anvil: Anvil, address: str) -> None:
    poor = Account.create()
    registry = Registry(anvil.url, address, account=poor)
    with pytest.raises(InputError, match="too little ether") as refusal:
        registry.register_key(1, PUBLIC)
    assert poor.address in refusal.value.hint and "--relay" in refusal.value.hint


def test_the_code_is_the_artifact(anvil: Anvil, address: str) -> None:
    registry = Registry(anvil.url, address)
    code = registry.code()
    assert artifact().is_code(code) and artifact().immutable_values(code) == {registry.deployment_id}
    assert not artifact().is_code(code[:-1])
    assert keccak(code) != keccak(artifact().deployed)


def test_unknown_reverts_are_refused(anvil: Anvil) -> None:
    from ffem_chain.chain.reverts import refused

    assert isinstance(refused(b""), Refused)
    assert "unknown error" in refused(b"\x01\x02\x03\x04").message
    panic = keccak(text="Panic(uint256)")[:4] + (0x11).to_bytes(32, "big")
    assert "panic 0x11" in refused(panic).message


def test_a_status_that_no_registry_gives(anvil: Anvil, address: str) -> None:
    """A node that answers with nonsense ends no process with a traceback."""

    def lie(question: dict[str, Any], ask: Any) -> Any:
        return result(question, "0x" + (9).to_bytes(32, "big").hex() * 9) if question["method"] == "eth_call" else ask()

    with RpcProxy(anvil.url, lie) as proxy, pytest.raises(ChainUnavailable):
        Registry(proxy.url, address).grant_state(SALT)
