"""Cases of the test vectors for grants, direct and through keepers, under both suites; see `vectors`."""

from __future__ import annotations

from functools import partial
from typing import Any

from ffem_chain.keys import grants
from ffem_chain.keys.scope import LEVEL_CAPTURE, LEVEL_FACE, LEVEL_RANGE, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import ENVELOPE_OVERHEAD, PrivateKey
from ffem_chain.keys.tree import cover
from ffem_chain.keys.vector_cases import SUITES, Json, Recorded, change, fixed, private_key, shown

KEEPERS = ((0, 0), (1, 1), (2, 3))
SEQ = 2


RANGES = ((1, 0, 0), (1, 1, 1), (2, 2, 3))


class _Case:
    """The fixed inputs of one grant; `spans` for one of a range."""

    def __init__(self, suite: int, threshold: int, count: int, spans: bool) -> None:
        ids = {name: fixed(f"grant/{name}") for name in ("deployment", "album", "grant")}
        self.ctx = grants.GrantContext(
            **ids,
            recipient=fixed("grant/wallet", 20),
            key_version=5,
            suite=suite,
            threshold=threshold,
            keepers=count,
        )
        level = LEVEL_FACE if count else LEVEL_CAPTURE
        self.scope = Scope(level, 3, 29_400_123, fixed("tree/uid"), 7 if count else 0)
        self.key, self.nodes = Secret(fixed("grant/key")), list[Secret]()
        if spans:
            self.scope = Scope(LEVEL_RANGE, 3, 29_400_123, last=29_401_562)
            self.nodes = [Secret(fixed(f"grant/node{i}")) for i in range(len(cover(*self.scope.span)))]
        self.recipient, self.request = private_key("grant/recipient", suite), private_key("grant/request", suite)
        self.private = [private_key(f"grant/keeper{i}", suite) for i in range(count)]
        self.keepers = [
            grants.KeeperKey(fixed(f"grant/keeper{i}/wallet", 20), 10 + i, self.private[i].public) for i in range(count)
        ]

    def build(self) -> list[str]:
        to = self.scope, self.ctx, self.recipient.public, self.keepers
        built = grants.build_range_grant(self.nodes, *to) if self.nodes else grants.build_grant(self.key, *to)
        return [built.scope_commit.hex(), built.payload.hex()]

    def open(self, sealed: list[str]) -> grants.OpenedGrant:
        commit, data = map(bytes.fromhex, sealed)
        payload = grants.parse_payload(data, self.ctx.suite, self.ctx.keepers)
        shares = {i: self.share(payload, commit, i) for i in range(self.ctx.threshold)}
        return grants.open_grant(self.recipient, payload, self.ctx, commit, shares)

    def opens(self, sealed: list[str]) -> bool:
        opened = self.open(sealed)
        keys = [one.key for one in opened.nodes]
        return opened.scope == self.scope and (keys == self.nodes if self.nodes else opened.key == self.key)

    def share(self, payload: grants.Payload, commit: bytes, index: int) -> Secret:
        keeper = self.keepers[index]
        return grants.open_keeper_share(self.private[index], payload, self.ctx, commit, index, keeper.address)


def _wallet(private: PrivateKey, public: bytes) -> Json:
    return {"private": private.to_secret_bytes().hex(), "public": public.hex()}


def _case(recorded: Recorded, number: int, suite: int, threshold: int, count: int, spans: bool) -> Json:
    case = _Case(suite, threshold, count, spans)
    ctx, place = case.ctx, ("cases", number)
    commit, data = recorded.keep((*place, "sealed"), case.build, case.opens)
    payload = grants.parse_payload(bytes.fromhex(data), suite, count)
    shares = [case.share(payload, bytes.fromhex(commit), i) for i in range(count)]
    request_key = bytes([suite]) + case.request.public

    def release(share: Secret, index: int) -> str:
        return grants.seal_release(share, request_key, ctx, bytes.fromhex(commit), SEQ, index).hex()

    def released(value: str, index: int) -> bool:
        args = bytes.fromhex(value), payload, ctx, bytes.fromhex(commit), SEQ, index
        return grants.open_release(case.request, *args) == shares[index]

    releases = [
        recorded.keep((*place, "releases", i), partial(release, shares[i], i), partial(released, index=i))
        for i in range(count)
    ]
    return {
        "suite": suite,
        "threshold": threshold,
        "keepers": count,
        "context": {
            "deployment": ctx.deployment.hex(),
            "album": ctx.album.hex(),
            "grant": ctx.grant.hex(),
            "recipient": ctx.recipient.hex(),
            "key_version": ctx.key_version,
        },
        "packed_context": ctx.pack().hex(),
        "scope": case.scope.pack().hex(),
        "key": shown(case.open([commit, data]).key),
        "nodes": [shown(key) for key in case.nodes],
        "recipient": _wallet(case.recipient, case.recipient.public),
        "keeper_keys": [
            {**_wallet(private, keeper.public), "address": keeper.address.hex(), "version": keeper.version}
            for private, keeper in zip(case.private, case.keepers, strict=True)
        ],
        "request": {"seq": SEQ, **_wallet(case.request, request_key)},
        "sealed": [commit, data],
        "shares": [shown(share) for share in shares],
        "share_digests": [part.digest.hex() for part in payload.shares],
        "releases": releases,
        "failures": [*_failures(suite, count, bytes.fromhex(data)), *(_of_a_range(data) if spans else ())],
    }


def _moved(step: str) -> list[Json]:
    """A part of a grant read as if it belonged elsewhere: every field of the context counts."""
    other: list[tuple[str, str, Any]] = [
        ("replay on another deployment", "context.deployment", fixed("grant/other").hex()),
        ("another album", "context.album", fixed("grant/other").hex()),
        ("another grant", "context.grant", fixed("grant/other").hex()),
        ("another wallet", "context.recipient", fixed("grant/other", 20).hex()),
        ("a stale version of the recipient's key", "context.key_version", 4),
    ]
    moved = [change(f"{step}: {why}", "Tampered", field, "set", value, step) for why, field, value in other]
    return [*moved, change(f"{step}: another scope commitment", "Tampered", "commit", "flip", 31, step)]


def _failures(suite: int, count: int, payload: bytes) -> list[Json]:
    other, last = private_key("envelope/other", suite).to_secret_bytes().hex(), len(payload) - 1
    found = [
        change("another recipient", "Tampered", "recipient.private", "set", other, "grant"),
        change("unknown version of the payload", "FormatError", "payload", "flip", 0, "grant"),
        change("unknown suite of the envelope", "FormatError", "payload", "flip", 1, "grant"),
        change("a flipped bit in the envelope", "Tampered", "payload", "flip", 60, "grant"),
        change("truncated", "FormatError", "payload", "cut", last, "grant"),
        *_moved("grant"),
    ]
    if not count:
        masked = ENVELOPE_OVERHEAD[suite] + 65
        return [*found, change("a flipped bit in the masked scope", "Tampered", "payload", "flip", masked, "grant")]
    found += [
        *_moved("share"),
        *_moved("release"),
        change("share: another keeper's key", "Tampered", "keeper_keys.0.private", "set", other, "share"),
        change("share: another keeper's wallet", "Tampered", "keeper_keys.0.address", "set", "11" * 20, "share"),
        change("release: another request's key", "Tampered", "request.private", "set", other, "release"),
        change("release: another request", "Tampered", "request.seq", "set", SEQ + 1, "release"),
        change("release: a flipped bit", "Tampered", "releases.0", "flip", 60, "release"),
        change("a flipped bit in a share", "Tampered", "shares.0", "flip", 0, "grant"),
    ]
    if count > 1:
        found.append(change("too few shares", "Pending", "given", "set", [1], "grant"))
        found.append(change("the shares of two keepers swapped", "Tampered", "given", "set", [1, 0], "grant"))
        found.append(change("the release of another keeper", "Tampered", "index", "set", 1, "release"))
        found.append(change("the share of another keeper", "Tampered", "index", "set", 1, "share"))
    return found


def _of_a_range(payload: str) -> list[Json]:
    end = len(payload) // 2
    return [
        change("a flipped bit in the wrapped keys", "Tampered", "payload", "flip", end - 528, "grant"),
        change("a flipped bit in their tag", "Tampered", "payload", "flip", end - 1, "grant"),
        change("the wrapped keys cut off", "FormatError", "payload", "cut", end - 528, "grant"),
        change("as many as a longer range has", "FormatError", "payload", "set", payload + "00" * 512, "grant"),
        change("version 1 with wrapped keys", "FormatError", "payload", "set", "01" + payload[2:], "grant"),
        change("version 1 without them", "FormatError", "payload", "set", "01" + payload[2 : 2 * (end - 528)], "grant"),
    ]


def grant_vectors(recorded: Recorded) -> Json:
    """Payload, shares and releases of a grant, for every suite, direct and through keepers, and of ranges."""
    kinds = [(suite, *keepers, False) for suite in SUITES for keepers in KEEPERS]
    kinds += [(*kind, True) for kind in RANGES]
    return {"cases": [_case(recorded, number, *kind) for number, kind in enumerate(kinds)]}
