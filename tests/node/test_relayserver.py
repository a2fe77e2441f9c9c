"""The relay over HTTP, and a client that believes nothing it says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from ffem_chain.chain.events import AccessRequested, KeyRegistered, NoncesUsed
from ffem_chain.chain.relayclient import RelayClient
from ffem_chain.chain.relayed import own_events
from ffem_chain.chain.signed import MAX_BYTES
from ffem_chain.errors import ChainUnavailable, InputError, Pending, Refused, Tampered
from ffem_devnet.anvil import Anvil
from ffem_node.relay import Relay
from ffem_node.relayserver import RelayServer
from ffem_node.relaystate import Limits

from .relaying import Family, served, through


@pytest.fixture
def family(anvil: Anvil, tmp_path: Path) -> Family:
    return Family(anvil, tmp_path)


@contextmanager
def pretending(answer: Callable[[bytes], tuple[int, Any]]) -> Iterator[str]:
    """A server that answers POSTs as `answer` says: (status, document or bytes). Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, document = answer(self.rfile.read(int(self.headers["content-length"])))
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if status == 307:
                self.send_header("location", "http://127.0.0.1:9/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_wallet_without_ether_does_all_it_has_to(family: Family) -> None:
    """Registers a key, asks, asks again: nothing but signatures. The relay pays, and the client has seen it itself."""
    family.invite(family.bob.address)
    with family.relay() as relay, served(relay) as url:
        bob = family.signing(family.bob, through(url))
        registered = bob.register_key(1, b"\x02" + b"\x11" * 32)
        assert any(isinstance(e, KeyRegistered) and e.wallet == family.bob.address for e in registered.events)
        params = family.params(family.bob.address)
        family.registry.grant(params)
        asked = bob.request_access(params.grant_id, b"\x01" + b"\x02" * 33)
        assert any(isinstance(e, AccessRequested) and e.seq == 1 for e in asked.events)
        with pytest.raises(InputError, match="no relay can do this"):
            bob.create_album(b"\x01" * 32, b"\x02" * 32, [family.bob.address], 1)
        about = requests.get(f"{url}/v1/relay", timeout=10).json()
        assert about["deployment"] == family.registry.deployment_id.hex() and about["albums"] == [family.album.hex()]
    assert family.registry.rpc.ask(lambda w3: w3.eth.get_balance(family.bob.address)) == 0


def test_refusals_reach_the_client(family: Family) -> None:
    with family.relay(Limits(1, 1, 1)) as relay, served(relay) as url:
        bob = family.signing(family.bob, through(url))
        with pytest.raises(Refused, match=r"the relay says: .* was not invited"):
            bob.register_key(1, b"\x02" + b"\x11" * 32)
        family.invite(family.bob.address)
        with pytest.raises(Pending, match="budget"):
            bob.register_key(1, b"\x02" + b"\x11" * 32)


def test_what_is_no_call_stops_at_the_door(family: Family) -> None:
    with family.relay() as relay, served(relay) as url:
        for data, status in (
            (b"", 400),
            (b"{}", 400),
            (b"[" * MAX_BYTES, 400),
            (b"x" * (MAX_BYTES + 1), 413),
            (b"x" * (4 * MAX_BYTES), 413),
        ):
            answer = requests.post(f"{url}/v1/calls", data, timeout=10)
            assert answer.status_code == status and set(answer.json()) == {"error", "hint", "kind"}, answer.text
        assert requests.get(f"{url}/v1/calls/{'00' * 32}", timeout=10).status_code == 404
        assert requests.get(f"{url}/v1/calls/../relay.sqlite", timeout=10).status_code == 404
        assert requests.put(f"{url}/v1/calls", b"{}", timeout=10).status_code == 405
    assert family.actions == []


def test_where_a_call_stands(family: Family) -> None:
    call = family.request_call(family.grant_to_bob())
    with family.relay() as relay, served(relay) as url:
        tx = RelayClient(url).submit(call)
        assert RelayClient(url + "/").submit(call) == tx
        told = requests.get(f"{url}/v1/calls/{call.digest.hex()}", timeout=10).json()
        assert told["id"] == call.digest.hex() and told["tx"] == "0x" + (tx or b"").hex()
        assert told["state"] in ("sent", "mined")


def test_a_port_that_is_taken(family: Family) -> None:
    with socket.socket() as taken, family.relay() as relay:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="nothing can be served"):
            RelayServer(relay, port=taken.getsockname()[1]).run(threading.Event())


def test_connections_that_say_nothing(family: Family) -> None:
    """They are so many at most, and end by themselves; then others are served again."""

    def idle(url: str) -> socket.socket:
        host, port = url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=30)

    with family.relay() as relay, served(relay, connections=2, seconds=0.3) as url:
        first, second = idle(url), idle(url)
        assert [one.recv(1) for one in (first, second)] == [b"", b""]
        assert requests.get(f"{url}/v1/relay", timeout=10).status_code == 200
    with family.relay() as relay, served(relay, connections=2) as url:
        first, second, third = idle(url), idle(url), idle(url)
        assert third.recv(1) == b""
        first.sendall(b"GET /v1/relay HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert first.recv(15) == b"HTTP/1.1 200 OK"
        for one in (first, second, third):
            one.close()


# ---------------------------------------------------------------------- relays that lie


def ask(family: Family, url: str, grant: bytes, seconds: float = 2.0) -> Any:
    """Bob's request through the relay at `url`."""
    return family.signing(family.bob, through(url, seconds)).request_access(grant, b"\x01" + b"\x02" * 33)


def test_a_receipt_of_something_else_is_found_out(family: Family) -> None:
    """The transaction that the relay names is real, and does what somebody else had signed."""
    grant = family.grant_to_bob()
    other = family.registry.events([KeyRegistered])[0].tx
    lie = {"id": "00", "state": "mined", "tx": "0x" + other.hex()}
    with pretending(lambda _: (202, lie)) as url, pytest.raises(Tampered, match="does something else"):
        ask(family, url, grant)
    assert family.registry.grant_state(grant).seq == 0


def test_a_receipt_of_nothing_is_not_believed(family: Family) -> None:
    grant = family.grant_to_bob()
    for tx in ("0x" + "ab" * 32, None):
        with (
            pretending(lambda _, tx=tx: (202, {"id": "00", "state": "mined", "tx": tx})) as url,  # type: ignore[misc]
            pytest.raises(Pending, match="the chain does not show it yet"),
        ):
            ask(family, url, grant, seconds=0.2)


def test_what_a_relay_does_beside_is_not_taken_for_the_call(family: Family, anvil: Anvil) -> None:
    """Calls of others in the same transaction, before and after: their versions and numbers are theirs."""
    mine, before, after = (family.key_call(), *(family.key_call(by=anvil.accounts[i]) for i in (3, 4)))
    events = [event for call in (before, mine, after) for event in family.registry.carry_out(call).events]
    own = own_events(mine, events)
    assert [type(event) for event in own] == [NoncesUsed, KeyRegistered]
    assert all(event.wallet == family.bob.address for event in own)  # type: ignore[attr-defined]
    assert own_events(mine, own[:1]) == own_events(mine, own[1:]) == own_events(before, own) == []


def test_a_refusal_that_is_a_lie_changes_nothing(family: Family) -> None:
    """The call was sent all the same: the chain shows it."""
    grant = family.grant_to_bob()

    def answer(body: bytes) -> tuple[int, Any]:
        from ffem_chain.chain.signed import Call

        family.registry.carry_out(Call.from_json(body))
        return 403, {"error": "no", "hint": "", "kind": "Refused"}

    with pretending(answer) as url:
        receipt = ask(family, url, grant)
    assert any(isinstance(e, AccessRequested) for e in receipt.events)


def test_a_nonce_that_was_used_for_nothing(family: Family, anvil: Anvil) -> None:
    """The signer cancels while the relay sits on the call: the client does not take that for success."""
    canceller = anvil.accounts[3]

    def answer(body: bytes) -> tuple[int, Any]:
        from ffem_chain.chain.registry import Registry
        from ffem_chain.chain.signed import Call

        call = Call.from_json(body)
        Registry(family.url, family.address, account=canceller).use_nonces(call.nonce >> 8, 1 << (call.nonce & 255))
        return 202, {"id": "00", "state": "sent", "tx": None}

    with pretending(answer) as url, pytest.raises(Refused, match="cancelled"):
        family.signing(canceller, through(url)).register_key(1, b"\x02" + b"\x11" * 32)


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (202, {"tx": "0x12"}),
        (202, {"tx": 7}),
        (202, {}),
        (202, []),
        (200, b"<html>hello</html>"),
        (200, b"[" * 10_000),
        (200, b"x" * 100_000),
        (307, {"tx": None}),
        (500, {"error": "no"}),
        (500, {"error": {"a": [[[]]]}, "hint": None, "kind": []}),
    ],
)
def test_servers_that_are_no_relay(family: Family, status: int, document: Any) -> None:
    grant = family.grant_to_bob()
    with pretending(lambda _: (status, document)) as url, pytest.raises(ChainUnavailable):
        ask(family, url, grant)


def test_words_of_a_relay_are_bounded(family: Family) -> None:
    grant = family.grant_to_bob()
    long = {"error": "e" * 3000, "hint": "h" * 3000, "kind": "Refused"}
    with pretending(lambda _: (403, long)) as url, pytest.raises(Refused) as refusal:
        ask(family, url, grant)
    assert len(refusal.value.message) < 600 and len(refusal.value.hint) <= 500


@pytest.mark.parametrize("url", ["ftp://x", "relay.example", "http://", "http://h:0", "http://h/?key=1"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InputError):
        RelayClient(url)


def test_nobody_answers(family: Family) -> None:
    grant = family.grant_to_bob()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ChainUnavailable, match="does not answer"):
        ask(family, f"http://127.0.0.1:{port}", grant)


def test_unforeseen_errors_say_nothing(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    grant = family.grant_to_bob()

    def broken(self: Relay, call: object) -> None:
        raise RuntimeError("the secret of the relay")

    monkeypatch.setattr(Relay, "submit", broken)
    with family.relay() as relay, served(relay) as url, pytest.raises(ChainUnavailable) as refusal:
        ask(family, url, grant)
    assert "secret" not in refusal.value.message
    assert [(a.kind, a.text) for a in family.actions] == [("failed", "an error of this program: RuntimeError")]
