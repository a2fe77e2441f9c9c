"""People without ether: a relay of the owner's sends what they sign, or somebody else does, from a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eth_account import Account

from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from tests.support.cli import PASSPHRASE
from tests.support.solidity import compiled

from .world import World


@pytest.fixture(scope="module")
def guest(world: World) -> str:
    """A profile whose wallet never has ether; its name."""
    account = Account.create()
    world.accounts["guest"] = account
    world.add_wallet("guest", account)
    world.ok("guest", "config", "set", "registry", world.registry)
    return "guest"


@contextmanager
def relay(world: World, *options: object) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """The owner's relay as a process: its URL, and the lines that it prints (complete when it has ended)."""
    with world.process("owner", "relay", "run", "--port", 0, "--json", *options) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline())]
        reader = threading.Thread(target=lambda: lines.extend(map(json.loads, process.stdout or ())), daemon=True)
        reader.start()
        yield lines[0]["url"], lines
        process.terminate()
        assert process.wait(60) == 0
        reader.join(60)


def opened_vault(world: World, name: str, album: str) -> dict[str, object]:
    """An album's entry in somebody's vault."""
    vault = Vault.open(world.home / "wallets" / f"{name}.vault", Secret(PASSPHRASE.encode()))
    albums = vault.read()["owner"]["albums"].values()
    return next(one for one in albums if one["name"] == album)


def balance(world: World, name: str) -> int:
    return int(world.rpc("eth_getBalance", world.address(name), "latest"), 16)


def test_a_recipient_without_ether_opens(world: World, guest: str, capture: str, tmp_path: Path) -> None:
    with relay(world) as (url, lines):
        through = ("--relay", url)
        refusal = world.fails(guest, 7, "was not invited", *through, "key", "register")
        assert "ffem relay allow" in refusal
        assert world.json("owner", "relay", "allow", world.address(guest))["invited"] == [world.address(guest)]
        assert world.json(guest, *through, "key", "register")["published"] is True
        grant = world.grant(capture, guest)
        world.ok("owner", "relay", "allow", world.address(guest), "--remove")
        out = tmp_path / "opened.png"
        assert world.ffem(guest, *through, "open", capture, "-o", out, "--wait", 0).status == 10
        world.ok("keeper", "keeper", "run", "--once")
        opened = world.json(guest, *through, "open", capture, "-o", out, "--wait", 0)
        assert opened["grants"][0]["grant"] == grant and out.exists()
        world.fails(guest, 3, "no relay can do this", *through, "album", "create", "mine")
        # What no relay can do leaves nothing behind that a later call would go on with.
        world.fails("owner", 3, "no relay can do this", *through, "revoke", grant, "--rotate")
        assert "rotation" not in opened_vault(world, "owner", "family")
        world.fails(guest, 3, "there is no album", "album", "show", "mine")
        # an owner signs, too, and pays through the relay
        assert world.json("owner", *through, "revoke", grant)["revoked"][0]["opened"] is True
    assert balance(world, guest) == 0
    kinds = [line["kind"] for line in lines]
    assert kinds.count("sent") == kinds.count("mined") == 3 and kinds.count("refused") == 1
    assert all(int(str(line["cost_wei"])) > 0 for line in lines if line["kind"] == "mined")


def test_a_budget_is_one(world: World, guest: str) -> None:
    world.ok("owner", "relay", "allow", world.address("stranger"))
    with relay(world, "--budget", "0.000000001") as (url, _):
        world.fails("stranger", 10, "budget of 24 hours", "--relay", url, "key", "register")
    world.ok("owner", "relay", "allow", world.address("stranger"), "--remove")
    world.fails("owner", 3, "is no budget", "relay", "run", "--budget", "much")
    world.fails(guest, 3, "has no album", "relay", "run")
    world.fails("owner", 3, "is no album's id", "relay", "run", "--album", "family")


def test_a_signature_travels_in_a_file(world: World, guest: str, capture: str, tmp_path: Path) -> None:
    """Signed here, sent by somebody else, once; and one that was cancelled is of no use."""
    file = tmp_path / "request.json"
    world.ok("owner", "relay", "allow", world.address(guest))
    key = tmp_path / "key.json"
    signed = world.json(guest, "--sign-only", key, "key", "rotate")
    assert signed["signed"] is True and [one["call"] for one in signed["calls"]] == ["RegisterKey"]
    world.ok("carol", "relay", "submit", key)
    world.grant(capture, guest)
    said = world.ok(guest, "--sign-only", file, "request", capture).out
    assert "1 call, signed" in said and f"ffem relay submit {file}" in said
    before = file.read_bytes()
    world.fails(guest, 3, "exists already", "--sign-only", file, "request", capture)
    assert file.read_bytes() == before
    done = world.json("carol", "relay", "submit", file)
    assert done["done"][0]["signer"] == world.address(guest) and done["failed"] == 0
    again = world.ok("carol", "relay", "submit", file).out
    assert f"already done in block {done['done'][0]['block']}" in again and done["done"][0]["before"] is False
    assert world.json("carol", "relay", "submit", file)["done"][0]["before"] is True
    world.ok("keeper", "keeper", "run", "--once")
    world.ok(guest, "open", capture, "-o", tmp_path / "b.png", "--wait", 0)

    given = tmp_path / "given.json"
    world.ok("bob", "--sign-only", given, "key", "rotate")
    world.fails("carol", 3, "not of", "relay", "cancel", given)
    assert len(world.json("bob", "relay", "cancel", given)["cancelled"]) == 1
    assert len(world.json("bob", "relay", "cancel", given)["too_late"]) == 1
    world.fails("carol", 7, "was cancelled", "relay", "submit", given)


def test_files_that_are_no_calls(world: World, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for content, status in ((b"", 3), (b"{}\n", 4), (b"\xff" * 100, 4), (b"{}\n" * 65, 3), (b"PNG\n" * 65, 4)):
        file.write_bytes(content)
        world.fails("carol", status, "call", "relay", "submit", file)
    world.fails("carol", 3, "there is no", "relay", "submit", tmp_path / "absent.json")
    world.fails("carol", 3, "not an http", "--relay", "ftp://x", "key", "register")


def test_a_wallet_that_is_a_contract(world: World, capture: str, tmp_path: Path) -> None:
    """A multisig of bob and carol registers an encryption key and asks for access by two signatures, without ether."""
    abi, code = compiled("test/support/Multisig.sol", "Multisig")
    w3 = world.chain("stranger").rpc.w3
    people = sorted((world.accounts["bob"], world.accounts["carol"]), key=lambda one: int(one.address, 16))
    factory = w3.eth.contract(abi=abi, bytecode=code)
    sent = factory.constructor([one.address for one in people], 2).transact({"from": world.address("stranger")})
    safe = w3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    contract = w3.eth.contract(address=safe, abi=abi)  # type: ignore[arg-type]
    world.ok("club", "--rpc-url", world.anvil.url, "--registry", world.registry, "--external", safe, "init")
    assert not (world.home / "wallets" / "club.json").exists()
    world.fails("club", 3, "--sign-only", "key", "register")

    def signature(file: Path, signers: list[object]) -> str:
        """What the signers make of the typed data: hash, bound to their wallet, one signature after the other."""
        from eth_account.messages import encode_typed_data
        from eth_utils import keccak

        message = encode_typed_data(full_message=json.loads(world.ok("club", "relay", "typed-data", file).out))
        digest = keccak(b"\x19" + message.version + message.header + message.body)
        bound = contract.functions.bound(digest).call()
        return "0x" + b"".join(one.unsafe_sign_hash(bound).signature for one in signers).hex()  # type: ignore[attr-defined]

    key, asking = tmp_path / "key.json", tmp_path / "ask.json"
    assert world.json("club", "--sign-only", key, "key", "register")["signed"] is False
    world.fails("stranger", 3, "is not signed", "relay", "submit", key)
    world.fails("stranger", 7, "has not signed", "relay", "submit", key, "--signature", signature(key, people[:1]))
    world.fails("stranger", 7, "has not signed", "relay", "submit", key, "--signature", signature(key, people[::-1]))
    world.ok("stranger", "relay", "submit", key, "--signature", signature(key, people))

    world.ok("owner", "grant", capture, safe)
    world.ok("club", "--sign-only", asking, "request", capture)
    with relay(world) as (url, _):
        signed = tmp_path / "signature.txt"
        signed.write_text(signature(asking, people) + "\n")
        world.ok("stranger", "--relay", url, "relay", "submit", asking, "--signature", signed)
    world.ok("keeper", "keeper", "run", "--once")
    world.ok("club", "open", capture, "-o", tmp_path / "c.png", "--wait", 0)
    checks = {one["check"]: one["state"] for one in world.ffem("club", "doctor", "--json").data["findings"]}
    assert checks["wallet"] == checks["vault"] == checks["balance"] == checks["keys"] == "ok"
    assert (tmp_path / "c.png").exists()


def test_keys_come_back_from_paper(world: World, capture: str, tmp_path: Path) -> None:
    """The vault loses every key; the code, typed with four letters a word, brings them back, and the capture opens."""
    code = tmp_path / "code.txt"
    world.grant(capture, "carol", "--direct")
    made = world.json("carol", "key", "recovery", "new", "--out", code)
    assert made["code"] is None and made["versions"]
    assert "nothing is missing" in world.ok("carol", "key", "recovery", "publish").out
    world.ok("carol", "key", "rotate")  # a later key is sealed to it, too
    world.drop_keys("carol")
    world.fails("carol", 5, "cannot be read here", "open", capture, "-o", tmp_path / "d.png")
    short = " ".join(word[:4].upper() for word in code.read_text().split())
    swapped = " ".join(reversed(short.split()))
    for wrong, status in ((swapped, 3), ("word " * 24, 3), ("abandon " * 23 + "art", 5)):
        told = world.fails("carol", status, "code", "key", "recover", env={"FFEM_RECOVERY_CODE": wrong})
        assert wrong.split()[3] not in told.split()
    got = world.ok("carol", "key", "recover", "--json", env={"FFEM_RECOVERY_CODE": short}).data
    assert set(made["versions"]) < set(got["recovered"]) and got["held"] == got["missing"] == []
    world.ok("carol", "open", capture, "-o", tmp_path / "d.png")
    assert all(one["held"] for one in world.json("carol", "key", "show")["keys"])


def test_a_code_is_shown_once(world: World) -> None:
    shown = world.ok("visitor", "key", "recovery", "new").out
    words = [word for word in shown.split() if word.isalpha()]
    assert "24 " in shown and len(words) >= 24
    assert "no recovery code" in world.ok("bob", "key", "recovery", "publish").out
    world.fails("visitor", 3, "no encryption key", "key", "recover", env={"FFEM_RECOVERY_CODE": " ".join(words[:24])})
