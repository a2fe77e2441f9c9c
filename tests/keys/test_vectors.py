"""The committed vectors: this version makes the same ones, good cases open, and every failure fails as it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ffem_chain import errors
from ffem_chain.keys import grants, shamir, suites, tree
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault

FOLDER = Path(__file__).parents[1] / "vectors"


def load(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def changed(case: dict[str, Any], change: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A copy of a case with one field set, one bit of it flipped, or its end cut off."""
    copy = json.loads(json.dumps(case))
    [(field, operation)] = change.items()
    *way, last = [int(step) if step.isdigit() else step for step in field.split(".")]
    place = copy
    for step in way:
        place = place[step]
    [(name, value)] = operation.items()
    if name == "set":
        place[last] = value
    else:
        data = bytearray.fromhex(place[last])
        if name == "flip":
            data[value] ^= 1
        else:
            del data[value:]
        place[last] = data.hex()
    return copy


def failures(name: str) -> list[Any]:
    found = load(name)
    cases = found.get("cases", [found])
    return [
        pytest.param(case, failure, id=f"{number}-{failure['why'].replace(' ', '_')}")
        for number, case in enumerate(cases)
        for failure in case["failures"]
    ]


def test_the_generator_makes_the_committed_files() -> None:
    command = [sys.executable, "-m", "ffem_chain.keys.vectors", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_changed_vector_is_noticed(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.json"):
        text = path.read_text()
        (tmp_path / path.name).write_text(text.replace("29400123", "29400124") if path.stem == "tree" else text)
    command = [sys.executable, "-m", "ffem_chain.keys.vectors", "--check", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "tree.json is not what this version makes" in done.stderr


# ---------------------------------------------------------------- tree


def test_tree() -> None:
    v = load("tree")
    ctx = tree.TreeContext(bytes.fromhex(v["album_salt"]), v["epoch"])
    secret, uid = Secret(bytes.fromhex(v["epoch_secret"])), bytes.fromhex(v["uid"])
    for node in v["nodes"]:
        below = Secret(bytes.fromhex(node["key"]))
        slot = tree.derive_slot_key(below, node["depth"], node["prefix"], ctx, v["slot"])
        assert slot == tree.slot_key(secret, ctx, v["slot"])
    for entry in v["slot_keys"]:
        assert tree.slot_key(secret, ctx, entry["slot"]).to_secret_bytes().hex() == entry["key"]
    for entry in v["covers"]:
        nodes = tree.cover(entry["first"], entry["last"])
        assert [(one.depth, one.prefix) for one in nodes] == [(one["depth"], one["prefix"]) for one in entry["nodes"]]
        keys = [tree.node_key(secret, ctx, one).to_secret_bytes().hex() for one in nodes]
        assert keys == [one["key"] for one in entry["nodes"]]
    capture = tree.capture_key(tree.slot_key(secret, ctx, v["slot"]), ctx, v["slot"], uid)
    face = v["face"]
    context = tree.FaceContext(uid, face["index"], bytes.fromhex(face["model_id"]), face["rotation"], face["precision"])
    key = tree.face_key(capture, context)
    derived = {
        "tree_context": ctx.pack(),
        "face_context": context.pack(),
        "capture_key": capture.to_secret_bytes(),
        "face_key": key.to_secret_bytes(),
        "rotation_key": tree.rotation_key(key).to_secret_bytes(),
        "exact_key": tree.exact_key(key).to_secret_bytes(),
        "geometry_key": tree.geometry_key(key).to_secret_bytes(),
        "dither_key": tree.dither_key(key).to_secret_bytes(),
    }
    assert {name: value.hex() for name, value in derived.items()} == {name: v[name] for name in derived}
    assert tree.key_commit(key, "face").hex() == v["commits"]["face"]
    assert tree.key_commit(capture, "capture").hex() == v["commits"]["capture"]
    assert tree.key_commit(secret, "epoch").hex() == v["commits"]["epoch"]


# ---------------------------------------------------------------- envelopes


def open_envelope(case: dict[str, Any]) -> str:
    private = suites.PrivateKey.from_secret_bytes(case["suite"], bytes.fromhex(case["private"]))
    opened = suites.open_envelope(private, bytes.fromhex(case["sealed"]), bytes.fromhex(case["info"]))
    return opened.to_secret_bytes().hex()


@pytest.mark.parametrize("case", load("envelopes")["cases"], ids=lambda c: str(c["suite"]))
def test_envelopes_open(case: dict[str, Any]) -> None:
    private = suites.PrivateKey.from_secret_bytes(case["suite"], bytes.fromhex(case["private"]))
    assert private.public.hex() == case["public"]
    assert open_envelope(case) == case["plaintext"]


@pytest.mark.parametrize(("case", "failure"), failures("envelopes"))
def test_envelopes_that_must_not_open(case: dict[str, Any], failure: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, failure["error"])):
        open_envelope(changed(case, failure["change"]))


# ---------------------------------------------------------------- shares


@pytest.mark.parametrize("case", load("shamir")["cases"], ids=lambda c: f"{c['threshold']}of{len(c['shares'])}")
def test_shares_combine(case: dict[str, Any]) -> None:
    shares = {i: Secret(bytes.fromhex(share)) for i, share in enumerate(case["shares"])}
    last = dict(list(shares.items())[-case["threshold"] :])
    assert shamir.combine(last, case["threshold"]).to_secret_bytes().hex() == case["secret"]


# ---------------------------------------------------------------- vault


def open_vault(case: dict[str, Any], folder: Path) -> Any:
    path = folder / "vector.vault"
    path.write_bytes(bytes.fromhex(case["file"]))
    return Vault.open(path, Secret(case["passphrase"].encode())).read()


def test_vault_opens(tmp_path: Path) -> None:
    case = load("vault")
    assert open_vault(case, tmp_path) == case["content"]


@pytest.mark.parametrize(("case", "failure"), failures("vault"))
def test_vaults_that_must_not_open(case: dict[str, Any], failure: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(getattr(errors, failure["error"])):
        open_vault(changed(case, failure["change"]), tmp_path)


# ---------------------------------------------------------------- grants


class Reader:
    """Reads a grant's vector step by step, as its recipient and keepers do."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case, suite = case, case["suite"]
        fields = {k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in case["context"].items()}
        self.ctx = grants.GrantContext(**fields, suite=suite, threshold=case["threshold"], keepers=case["keepers"])
        commit, payload = case["sealed"]
        self.commit = bytes.fromhex(case.get("commit", commit))
        self.payload = grants.parse_payload(bytes.fromhex(case.get("payload", payload)), suite, case["keepers"])
        self.index = case.get("index", 0)

    def private(self, text: str) -> suites.PrivateKey:
        return suites.PrivateKey.from_secret_bytes(self.case["suite"], bytes.fromhex(text))

    def share(self, index: int, at: int | None = None) -> Secret:
        keeper = self.case["keeper_keys"][index]
        private, address = self.private(keeper["private"]), bytes.fromhex(keeper["address"])
        place = index if at is None else at
        return grants.open_keeper_share(private, self.payload, self.ctx, self.commit, place, address)

    def release(self, index: int, at: int | None = None) -> Secret:
        request, sealed = self.case["request"], bytes.fromhex(self.case["releases"][index])
        private, place = self.private(request["private"]), index if at is None else at
        return grants.open_release(private, sealed, self.payload, self.ctx, self.commit, request["seq"], place)

    def grant(self) -> grants.OpenedGrant:
        given = self.case.get("given", range(self.case["threshold"]))
        shares = {at: Secret(bytes.fromhex(self.case["shares"][i])) for at, i in enumerate(given)}
        private = self.private(self.case["recipient"]["private"])
        return grants.open_grant(private, self.payload, self.ctx, self.commit, shares)

    def run(self, step: str) -> None:
        if step == "share":
            self.share(0, self.index)
        elif step == "release":
            self.release(0, self.index)
        else:
            self.grant()


GRANTS = load("grants")["cases"]


@pytest.mark.parametrize(
    "case", GRANTS, ids=lambda c: f"suite{c['suite']}-{c['threshold']}of{c['keepers']}-{len(c['nodes'])}"
)
def test_grants_open(case: dict[str, Any]) -> None:
    reader = Reader(case)
    assert reader.ctx.pack().hex() == case["packed_context"]
    for index, share in enumerate(case["shares"]):
        assert reader.share(index) == reader.release(index) == Secret(bytes.fromhex(share))
        digest = grants.share_digest(reader.ctx.grant, index, reader.share(index))
        assert digest.hex() == case["share_digests"][index]
    opened = reader.grant()
    assert opened.scope.pack().hex() == case["scope"]
    assert opened.key.to_secret_bytes().hex() == case["key"]
    assert [one.key.to_secret_bytes().hex() for one in opened.nodes] == case["nodes"]


@pytest.mark.parametrize(("case", "failure"), failures("grants"))
def test_grants_that_must_not_open(case: dict[str, Any], failure: dict[str, Any]) -> None:
    commit, payload = case["sealed"]
    with pytest.raises(getattr(errors, failure["error"])):
        Reader(changed({**case, "commit": commit, "payload": payload}, failure["change"])).run(failure["step"])
