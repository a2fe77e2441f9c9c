"""Test vectors of signed calls: a line of each kind, its digest and its signature; see `ffem_chain.keys.vectors`."""

from __future__ import annotations

from typing import Any

from eth_account import Account

from ffem_chain.chain.signed import KINDS, Call, Domain, sign
from ffem_chain.keys.vector_cases import Json, Recorded, fixed


def signed_vectors(_: Recorded) -> Json:
    """Signatures are deterministic (RFC 6979), so nothing of it is recorded."""
    account = Account.from_key(fixed("signed/wallet"))
    address: str = Account.from_key(fixed("signed/registry")).address
    domain = Domain(31_337, address, fixed("signed/deployment"))
    samples: dict[str, Any] = {"bytes32": fixed("signed/hash"), "bytes": fixed("signed/bytes", 34), "address": address}
    cases = []
    for number, kind in enumerate(KINDS, 1):
        values = tuple(samples.get(abi_type, number) for _, abi_type in kind.fields)
        nonce = int.from_bytes(fixed(f"signed/nonce/{number}"), "big")
        call = sign(Call(domain, kind, values, account.address, nonce, 2_000_000_000), account)
        cases.append({"line": call.to_json().decode(), "typed_data": call.typed_data(), "digest": call.digest.hex()})
    return {"private": fixed("signed/wallet").hex(), "cases": cases}
