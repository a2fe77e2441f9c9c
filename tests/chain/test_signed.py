"""Signed calls on a real Anvil: what the contract takes, once, here, in time, from the signer; and their wire form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.constants import SECPK1_N
from hypothesis import given
from hypothesis import strategies as st

from ffem_chain.chain.events import KeyRegistered, NoncesUsed
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.chain.relayed import send_call
from ffem_chain.chain.reverts import ChainRefused
from ffem_chain.chain.signed import BY_NAME, KINDS, MAX_BYTES, Call, Domain, new_call, sign
from ffem_chain.errors import FormatError, Refused
from ffem_devnet.anvil import Anvil

PUBLIC = b"\x02" + b"\x11" * 32
SIGNER = Account.from_key(b"\x07" * 32)
SAMPLES = {"bytes32": b"\x01" * 32, "bytes": b"\x02" * 40, "address": SIGNER.address}
DOMAIN = Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3", b"\x03" * 32)


def sample(name: str) -> Call:
    """A signed call of each kind."""
    kind = BY_NAME[name]
    values = tuple(SAMPLES.get(abi_type, 5) for _, abi_type in kind.fields)
    return sign(Call(DOMAIN, kind, values, SIGNER.address, 1 << 255, 2_000_000_000), SIGNER)


def key_call(registry: Registry, *, lifetime: int = 3600) -> Call:
    """A signed registration of a key by somebody without ether, for `registry`."""
    deadline = registry.rpc.block("latest")["timestamp"] + lifetime
    return sign(new_call(registry.domain(), BY_NAME["RegisterKey"], (1, PUBLIC), SIGNER.address, deadline), SIGNER)


# ---------------------------------------------------------------------- on the chain


def test_somebody_else_pays(anvil: Anvil, address: str) -> None:
    payer = Registry(anvil.url, address, account=anvil.accounts[0])
    call = key_call(payer)
    receipt = send_call(payer, call)
    used, registered = receipt.events
    assert isinstance(used, NoncesUsed) and (used.wallet, used.word) == (SIGNER.address, call.nonce >> 8)
    assert used.mask == 1 << (call.nonce & 0xFF)
    assert isinstance(registered, KeyRegistered) and registered.wallet == SIGNER.address
    assert payer.active_key(SIGNER.address, 1) == 1 and not payer.active_key(anvil.accounts[0].address, 1)
    assert payer.nonce_used(SIGNER.address, call.nonce) and not payer.nonce_used(SIGNER.address, call.nonce ^ 1)
    with pytest.raises(ChainRefused, match="used") as refusal:
        send_call(payer, call)
    assert refusal.value.name == "NonceUsed"


def test_it_is_good_nowhere_else(anvil: Anvil, address: str) -> None:
    """Neither on another registry of the chain, nor for another chain id, nor for another deployment id."""
    payer = Registry(anvil.url, address, account=anvil.accounts[0])
    other = Registry(anvil.url, deploy(anvil.url, anvil.accounts[9]), account=anvil.accounts[0])
    call = key_call(payer)
    with pytest.raises(Refused, match="not for this one"):
        send_call(other, call)
    with pytest.raises(ChainRefused) as refusal:
        other.carry_out(call)  # also where nobody compares before
    assert refusal.value.name == "BadSignature"
    for domain in (
        replace(payer.domain(), chain_id=1),
        replace(payer.domain(), deployment=other.deployment_id),
        replace(payer.domain(), registry=other.address),
    ):
        elsewhere = sign(replace(call, domain=domain), SIGNER)
        with pytest.raises(ChainRefused) as refusal:
            payer.carry_out(elsewhere)
        assert refusal.value.name == "BadSignature"
    send_call(payer, call)


def test_deadline_and_cancellation(anvil: Anvil, address: str) -> None:
    payer = Registry(anvil.url, address, account=anvil.accounts[0])
    with pytest.raises(ChainRefused) as refusal:
        send_call(payer, key_call(payer, lifetime=-1))
    assert refusal.value.name == "SignatureExpired"
    mine = Registry(anvil.url, address, account=anvil.accounts[1])
    given_out = new_call(mine.domain(), BY_NAME["RegisterKey"], (1, PUBLIC), anvil.accounts[1].address, 1 << 40)
    given_out = sign(given_out, anvil.accounts[1])
    mine.use_nonces(given_out.nonce >> 8, 1 << (given_out.nonce & 0xFF))
    with pytest.raises(ChainRefused) as refusal:
        send_call(payer, given_out)
    assert refusal.value.name == "NonceUsed"


def test_only_the_signer_and_only_what_was_signed(anvil: Anvil, address: str) -> None:
    payer = Registry(anvil.url, address, account=anvil.accounts[0])
    call = key_call(payer)
    r, s, v = call.signature[:32], int.from_bytes(call.signature[32:64], "big"), call.signature[64]
    twisted = r + (SECPK1_N - s).to_bytes(32, "big") + bytes([55 - v])
    for forged in (
        replace(call, signer=anvil.accounts[2].address),
        replace(call, values=(1, b"\x03" + PUBLIC[1:])),
        replace(call, nonce=call.nonce ^ 1),
        replace(call, deadline=call.deadline + 1),
        replace(call, signature=twisted),  # the same signature with the other s
        replace(call, signature=call.signature[:64]),
        sign(replace(call, values=(1, PUBLIC)), Account.create()),
    ):
        with pytest.raises(ChainRefused) as refusal:
            payer.carry_out(forged)
        assert refusal.value.name == "BadSignature"
    assert not payer.nonce_used(SIGNER.address, call.nonce)


# ---------------------------------------------------------------------- wire form


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_the_wire_form_is_the_call(name: str) -> None:
    call = sample(name)
    assert Call.from_json(call.to_json()) == call and b"\n" not in call.to_json()
    # what a wallet elsewhere is given to sign is the same message
    assert encode_typed_data(full_message=json.loads(json.dumps(call.typed_data()))) == call.message()
    assert Account.recover_message(call.message(), signature=call.signature) == SIGNER.address


def test_the_digest_is_that_of_eip_712() -> None:
    """The library uses eth-account's; `typed_digest` is another implementation."""
    for kind in KINDS:
        call = sample(kind.name)
        assert call.digest == typed_digest(call)


def typed_digest(call: Call) -> bytes:
    """EIP-712 from its text: keccak(0x1901 ‖ domain separator ‖ struct hash)."""
    from eth_abi import encode
    from eth_utils import keccak

    def hashed(type_text: str, types: list[str], values: list[object]) -> bytes:
        words = [keccak(v) if t in ("bytes", "string") else v for t, v in zip(types, values, strict=True)]  # type: ignore[arg-type]
        abi_types = ["bytes32" if t in ("bytes", "string") else t for t in types]
        return keccak(keccak(text=type_text) + encode(abi_types, words))

    domain_type = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    domain = hashed(
        domain_type,
        ["string", "string", "uint256", "address", "bytes32"],
        [b"ffem-chain", b"1", call.domain.chain_id, call.domain.registry, call.domain.deployment],
    )
    fields = (*call.kind.fields, ("signer", "address"), ("nonce", "uint256"), ("deadline", "uint256"))
    text = f"{call.kind.name}({','.join(f'{abi_type} {name}' for name, abi_type in fields)})"
    struct = hashed(text, [abi_type for _, abi_type in fields], [*call.values, call.signer, call.nonce, call.deadline])
    return keccak(b"\x19\x01" + domain + struct)


def test_the_committed_vectors() -> None:
    found = json.loads((Path(__file__).parents[1] / "vectors" / "signed.json").read_text())
    account = Account.from_key(found["private"])
    assert [Call.from_json(case["line"].encode()).kind for case in found["cases"]] == list(KINDS)
    for case in found["cases"]:
        call = Call.from_json(case["line"].encode())
        assert call.digest.hex() == case["digest"] and call.typed_data() == case["typed_data"]
        assert sign(replace(call, signature=b""), account) == call and call.signer == account.address


def broken(**changes: object) -> bytes:
    document = json.loads(sample("RequestAccess").to_json())
    for name, value in changes.items():
        if value is None:
            del document[name]
        else:
            document[name] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        broken(v=2),
        broken(v=True),
        broken(call="Everything"),
        broken(call=["RequestAccess"]),
        broken(extra=1),
        broken(signature=None),
        broken(chain=-1),
        broken(chain="1"),
        broken(chain=1 << 256),
        broken(deadline=1.5),
        broken(deadline=True),
        broken(registry="0x12"),
        broken(registry=None),
        broken(deployment="0x" + "00" * 31),
        broken(nonce="0x" + "00" * 33),
        broken(signer=7),
        broken(signature="0xabc"),
        broken(signature="0xAB"),
        broken(signature="0x" + "00" * 4097),
        broken(values={}),
        broken(values=[]),
        broken(values={"grantId": "0x" + "00" * 32, "requestKey": "0x", "more": "0x"}),
        broken(values={"grantId": "0x" + "00" * 31, "requestKey": "0x"}),
        broken(values={"grantId": {}, "requestKey": "0x"}),
        b" " * (MAX_BYTES + 1),
    ],
    ids=lambda data: data[:24].decode("latin-1"),
)
def test_what_is_no_call_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        Call.from_json(data)


@given(st.integers(0, 600), st.integers(0, 255))
def test_bytes_that_were_changed_are_refused_or_another_call(place: int, value: int) -> None:
    data = bytearray(sample("RequestAccess").to_json())
    place %= len(data)
    changed = data[place] != value
    data[place] = value
    try:
        call = Call.from_json(bytes(data))
    except FormatError:
        return
    # capitals of an address are no part of the call
    assert (call == sample("RequestAccess")) is (not changed or chr(value).lower() == chr(sample_byte(place)).lower())


def sample_byte(place: int) -> int:
    return sample("RequestAccess").to_json()[place]


def test_nonces_are_random() -> None:
    nonces = {new_call(DOMAIN, KINDS[0], (1, PUBLIC), SIGNER.address, 1).nonce for _ in range(20)}
    assert len(nonces) == 20 and max(nonces) > 1 << 200
