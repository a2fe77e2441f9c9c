"""The store at a daemon: everything that a daemon, or whoever answers in its place, can do wrong."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ffem_chain.errors import FfemError, FormatError, InputError, StoreUnavailable, Tampered
from ffem_chain.stores import open_store, unixfs
from ffem_chain.stores.cid import RAW, Cid
from ffem_chain.stores.kubo import KuboStore
from ffem_chain.stores.kuborpc import parse_address
from ffem_chain.stores.local import LocalStore
from ffem_devnet.ipfs import IpfsDaemon
from ffem_devnet.processes import free_port

from .servers import page, proxy, raw

# A store that waited for ever would end here; its own limits are a few seconds.
pytestmark = pytest.mark.timeout(120)
TIMEOUT = 1.0
NOT_IPFS = "does not answer as an IPFS daemon does"
SECRETS = ("alice", "s3cret", "api-key")


def capture() -> dict[str, bytes]:
    return {"image.png": os.urandom(300_000), "manifest.json": os.urandom(16).hex().encode()}


CID = str(unixfs.build(capture())[0])


def calls(store: KuboStore, folder: Path) -> list[Callable[[], object]]:
    return [
        store.check,
        lambda: store.put(capture()),
        lambda: store.get(CID),
        lambda: store.has(CID),
        lambda: store.unpin(CID),
        lambda: store.export_car(CID, folder / "x.car"),
    ]


def assert_each_call_fails(url: str, folder: Path, words: str) -> None:
    """Every call gives one error with words and a hint, in time, and says nothing of the address's secrets."""
    store = KuboStore(url.replace("http://", "http://alice:s3cret@") + "/api-key", TIMEOUT)
    for call in calls(store, folder):
        with pytest.raises(StoreUnavailable, match=words) as caught:
            call()
        assert caught.value.hint
        said = "".join(traceback.format_exception(caught.value)) + caught.value.hint + store.name + repr(store)
        assert not any(secret in said for secret in SECRETS)
        assert "127.0.0.1" in caught.value.message
    assert list(folder.iterdir()) == []


# ---------------------------------------------------------------------- content


def test_content_that_was_collected_is_told_from_a_daemon_that_is_down(ipfs: IpfsDaemon) -> None:
    store, files = KuboStore(ipfs.url, 4.0), capture()
    cid = store.put(files)
    requests.post(f"{ipfs.url}/api/v0/repo/gc", timeout=60).raise_for_status()
    assert store.get(cid) == files  # pinned
    store.unpin(cid)
    requests.post(f"{ipfs.url}/api/v0/repo/gc", timeout=60).raise_for_status()
    assert not store.has(cid)
    with pytest.raises(StoreUnavailable, match="garbage-collected") as caught:
        store.get(cid)
    assert cid in caught.value.message and "another store" in caught.value.hint
    assert store.put(files) == cid and store.get(cid) == files


def test_a_directory_of_which_one_block_is_lost_is_not_held(ipfs: IpfsDaemon) -> None:
    store, files = KuboStore(ipfs.url, 4.0), capture()
    cid = store.put(files)
    leaf = Cid.of(RAW, files["image.png"][: unixfs.CHUNK])
    requests.post(f"{ipfs.url}/api/v0/pin/rm", params={"arg": cid}, timeout=20).raise_for_status()
    removed = requests.post(f"{ipfs.url}/api/v0/block/rm", params={"arg": str(leaf)}, timeout=20)
    assert removed.ok and not removed.json().get("Error")
    assert not store.has(cid)
    with pytest.raises(StoreUnavailable, match=str(leaf)):
        store.get(cid)


def _flip(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


@pytest.mark.parametrize(
    "alter",
    [_flip, lambda body: body[:-1], lambda body: body + b"\0", lambda body: b"", lambda body: body[::-1]],
    ids=["flipped", "shortened", "lengthened", "emptied", "reversed"],
)
@pytest.mark.parametrize("which", ["root", "leaf"])
def test_wrong_content_is_never_returned(
    ipfs: IpfsDaemon, tmp_path: Path, alter: Callable[[bytes], bytes], which: str
) -> None:
    files = capture()
    cid = KuboStore(ipfs.url).put(files)
    target = cid if which == "root" else str(Cid.of(RAW, files["manifest.json"]))

    def change(path: str, body: bytes) -> bytes:
        return alter(body) if "block/get" in path and target in path else body

    with proxy(ipfs.port, change) as url:
        store = KuboStore(url)
        with pytest.raises(Tampered, match=f"other bytes than {target} names") as caught:
            store.get(cid)
        assert "another store" in caught.value.hint
        with pytest.raises(Tampered):
            store.export_car(cid, tmp_path / "x.car")
        assert list(tmp_path.iterdir()) == []
        if which == "root":
            assert not store.has(cid)
    assert KuboStore(ipfs.url).get(cid) == files


def test_a_block_larger_than_any_is_cut_off(ipfs: IpfsDaemon) -> None:
    cid = KuboStore(ipfs.url).put(capture())
    huge = bytes(unixfs.MAX_BLOCK + 1)
    with (
        proxy(ipfs.port, lambda path, body: huge if "block/get" in path else body) as url,
        pytest.raises(FormatError, match="block is larger"),
    ):
        KuboStore(url).get(cid)


def _pins(ipfs: IpfsDaemon) -> set[str]:
    answer = requests.post(f"{ipfs.url}/api/v0/pin/ls", params={"type": "recursive"}, timeout=20)
    return set(answer.json()["Keys"])


def test_nothing_but_the_directory_is_pinned_and_unpinned(ipfs: IpfsDaemon) -> None:
    before, store = _pins(ipfs), KuboStore(ipfs.url)
    cid = store.put(capture())
    assert len(_pins(ipfs) - before) == 1
    store.unpin(cid)
    assert _pins(ipfs) == before


def test_a_cid_that_the_daemon_names_is_not_believed(ipfs: IpfsDaemon) -> None:
    other, before = KuboStore(ipfs.url).put(capture()), _pins(ipfs)
    files = capture()
    root = str(unixfs.build(files)[0])
    with (
        proxy(ipfs.port, lambda path, body: body.replace(root.encode(), other.encode())) as url,
        pytest.raises(Tampered, match="made other content of the files than was sent"),
    ):
        KuboStore(url).put(files)
    assert _pins(ipfs) - before <= {other}


def test_a_daemon_that_makes_other_content_is_refused(ipfs: IpfsDaemon) -> None:
    """js-ipfs loses names of one letter, so a real daemon does it."""
    if ipfs.kubo:
        pytest.skip("Kubo keeps names of one letter")
    before = _pins(ipfs)
    with pytest.raises(Tampered, match="made other content"):
        KuboStore(ipfs.url).put({"x": os.urandom(20)})
    assert _pins(ipfs) == before


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b'{"Name": ""}',
        b'{"Name": "", "Hash": 7}',
        b'{"Name": "", "Hash": "bafy"}',
        b'{"Name": "image.png", "Hash": "bafy"}',
        b"{" * 100_000,
        b"[" * 100_000,
        b"<html>",
        b"\xff\xfe",
        b'{"Type": "error", "Message": "disk"}',
        b'{"Type": "error"}',
    ],
)
def test_an_upload_that_is_answered_by_nonsense_has_failed(ipfs: IpfsDaemon, answer: bytes) -> None:
    with proxy(ipfs.port, lambda path, body: answer if "/add" in path else body) as url:
        with pytest.raises((StoreUnavailable, Tampered)):
            KuboStore(url).put(capture())
        assert "works" in KuboStore(url).check()


@pytest.mark.parametrize(
    "answer", [b"", b"null", b"[]", b"{}", b'"7"', b"{" * 100_000, b"<html>", b'{"Version": "a"}{"Version": "b"}']
)
def test_a_check_that_is_answered_by_nonsense_has_failed(ipfs: IpfsDaemon, answer: bytes) -> None:
    with (
        proxy(ipfs.port, lambda path, body: answer) as url,
        pytest.raises(StoreUnavailable, match=NOT_IPFS),
    ):
        KuboStore(url).check()


def test_a_broken_answer_of_many_lines_costs_little() -> None:
    before = time.process_time()
    with (
        raw(page("200 OK", b"[\n" + b"1,\n" * 43_000)) as url,
        pytest.raises(StoreUnavailable, match=NOT_IPFS),
    ):
        KuboStore(url).check()
    assert time.process_time() - before < 5  # of this process


def test_what_a_daemon_calls_its_version_cannot_write_to_the_terminal(ipfs: IpfsDaemon) -> None:
    with proxy(ipfs.port, lambda path, body: b'{"Version": "\\u001b[2J\\nowned"}') as url:
        assert KuboStore(url).check().endswith("version unknown")
    with proxy(ipfs.port, lambda path, body: b'{"Version": "' + b"9" * 4000 + b'"}') as url:
        assert len(KuboStore(url).check()) < 120


# ---------------------------------------------------------------------- no daemon, or no good one


def test_a_daemon_that_is_down(tmp_path: Path) -> None:
    assert_each_call_fails(f"http://127.0.0.1:{free_port()}", tmp_path, "cannot be reached")


def test_a_server_that_accepts_and_says_nothing(tmp_path: Path) -> None:
    with raw(lambda connection, end: end.wait() and None) as url:
        assert_each_call_fails(url, tmp_path, "gave no answer within 1 s")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of a server at 127.0.0.1, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "t")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_is_checked(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    answer = page("200 OK", b'{"Version": "1"}', "application/json")
    with raw(answer, tls=context) as url:
        assert url.startswith("https://")
        with pytest.raises(StoreUnavailable, match="TLS fails") as caught:
            KuboStore(url).check()
        assert "REQUESTS_CA_BUNDLE" in caught.value.hint
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert KuboStore(url.replace("//", "//alice:s3cret@")).check().endswith("version 1")


def test_a_daemon_without_tls_behind_https_is_said_so(ipfs: IpfsDaemon) -> None:
    with pytest.raises(StoreUnavailable, match="TLS fails") as caught:
        KuboStore(ipfs.url.replace("http:", "https:")).check()
    assert "use http for a daemon without TLS" in caught.value.hint


def _trickle(head: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Bytes that keep a socket's own timeout from ever running out."""

    def answer(connection: socket.socket, end: threading.Event) -> None:
        connection.sendall(head)
        while not end.wait(0.2):
            connection.sendall(b"x")

    return answer


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 500 Error\r\nContent-Type: application/json\r\n\r\n",
    ],
    ids=["status", "header", "endless body", "body", "error"],
)
def test_an_answer_that_trickles_in_is_not_waited_for(tmp_path: Path, head: bytes) -> None:
    with raw(_trickle(head)) as url:
        store = KuboStore(url, TIMEOUT)
        for call in (store.check, lambda: store.get(CID)):
            with pytest.raises(StoreUnavailable, match="gave no answer within 1 s"):
                call()


def test_an_upload_that_nobody_takes_ends_in_time() -> None:
    late = pytest.raises(StoreUnavailable, match="gave no answer within 1 s")
    with raw(lambda connection, end: end.wait() and None) as url, late:
        KuboStore(url, TIMEOUT).put({"image.png": bytes(40_000_000)})


def test_a_slow_upload_goes_on_for_as_long_as_it_moves() -> None:
    """The timeout is for one step: what takes longer in all, but keeps moving, is not broken off."""
    files = {"image.png": os.urandom(16_000_000)}
    root = str(unixfs.build(files)[0])

    heads: list[str] = []

    def answer(connection: socket.socket, end: threading.Event) -> None:
        last = b""
        while "/v0/add?" in heads[-1] and not last.endswith(b"\r\n0\r\n\r\n") and (piece := connection.recv(1 << 20)):
            last = (last + piece)[-16:]
            end.wait(len(piece) / 6e6)
        body = {"Pins": [root]} if "/pin/" in heads[-1] else {"Name": "", "Hash": root}
        page("200 OK", json.dumps(body).encode())(connection, end)

    with raw(answer, heads) as url:
        begin = time.monotonic()
        assert KuboStore(url, 1.5).put(files) == root
        assert time.monotonic() - begin > 1.5 * 1.5


HUGE = 1 << 40


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page("404 Not Found", b"<h1>no such page</h1>"), NOT_IPFS),
        (page("405 Method Not Allowed", b""), NOT_IPFS),
        (page("301 Moved", b"", extra="Location: http://127.0.0.1:1/api-key\r\n"), NOT_IPFS),
        (page("307 Moved", b"x" * 100, extra="Location: /elsewhere\r\n"), NOT_IPFS),
        (page("401 Unauthorized", b"401"), "does not let us in"),
        (page("403 Forbidden", b'{"Message": "s3cret", "Type": "error"}', "application/json"), "does not let us in"),
        (page("502 Bad Gateway", b"<html>" * 10_000), "answers with an error page"),
        (
            page("500 Internal", b'{"Message": "open /home/alice/.ipfs", "Type": "error"}', "application/json"),
            "refuses",
        ),
        (page("500 Internal", b'{"Message": "write: no space left on device"}', "application/json"), "no space left"),
        (page("500 Internal", b'{"Message": {"a": ["s3cret"]}}', "application/json"), "refuses"),
        (lambda connection, end: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"), "broke off its answer"),
        (lambda connection, end: None, "broke off its answer"),
        (lambda connection, end: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"), "broke off"),
        (
            lambda connection, end: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            ".",
        ),
    ],
)
def test_a_server_that_is_no_daemon_or_refuses(tmp_path: Path, answer: Callable[..., None], words: str) -> None:
    with raw(answer) as url:
        assert_each_call_fails(url, tmp_path, words)


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
@pytest.mark.parametrize("head", [f"Content-Length: {HUGE}", "Transfer-Encoding: chunked", "Content-Type: text/plain"])
def test_a_huge_answer_is_cut_off(status: str, head: str) -> None:
    sent = []

    def answer(connection: socket.socket, end: threading.Event) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n\r\n".encode())
        if "chunked" in head:
            connection.sendall(f"{HUGE:x}\r\n".encode())  # one chunk of a terabyte
        while not end.is_set():
            connection.sendall(bytes(1 << 20))
            sent.append(1 << 20)

    with raw(answer) as url:
        for call in (KuboStore(url).check, lambda: KuboStore(url).get(CID)):
            sent.clear()
            with pytest.raises(StoreUnavailable, match=NOT_IPFS):
                call()
            assert sum(sent) < 64 << 20


def test_a_kept_connection_that_the_daemon_closed_is_opened_again(ipfs: IpfsDaemon) -> None:
    answers = []

    def once(connection: socket.socket, end: threading.Event) -> None:
        answers.append(1)
        if len(answers) % 2:  # announces to keep the connection, and closes it
            return
        body = b'{"Version": "1"}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with raw(once) as url:
        store = KuboStore(url)
        assert store.check().endswith("version 1")
        assert store.check().endswith("version 1")
    assert len(answers) == 4


def test_a_password_goes_to_the_daemon_and_nothing_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heads: list[str] = []
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password hidden\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    with raw(page("200 OK", b'{"Version": "1"}', "application/json"), heads) as url:
        KuboStore(url).check()  # no proxy in between
        KuboStore(url.replace("//", "//alice:s3cret@") + "/api-key").check()
    first, second = heads
    assert first.startswith("POST /api/v0/version?") and "authorization" not in first.lower()
    assert second.startswith("POST /api-key/api/v0/version?")
    assert f"Authorization: Basic {base64.b64encode(b'alice:s3cret').decode()}" in second


# ---------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "multiaddr", "shown", "base"),
    [
        ("http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001/http", "http://127.0.0.1:5001", "/api/v0"),
        ("http://localhost:5001/", "/dns/localhost/tcp/5001/http", "http://localhost:5001", "/api/v0"),
        ("https://ipfs.example.org", "/dns/ipfs.example.org/tcp/443/https", "https://ipfs.example.org:443", "/api/v0"),
        ("http://127.0.0.1:5001/api/v0", "/ip4/127.0.0.1/tcp/5001/http", "http://127.0.0.1:5001", "/api/v0"),
        ("https://h.org/key/api/v0/", "/dns/h.org/tcp/443/https", "https://h.org:443", "/key/api/v0"),
        ("http://[::1]:5001", "/ip6/::1/tcp/5001/http", "http://[::1]:5001", "/api/v0"),
        ("/ip4/127.0.0.1/tcp/5001", "/ip4/127.0.0.1/tcp/5001/http", "http://127.0.0.1:5001", "/api/v0"),
        ("/dns/h.org/tcp/443/https", "/dns/h.org/tcp/443/https", "https://h.org:443", "/api/v0"),
    ],
)
def test_addresses(text: str, multiaddr: str, shown: str, base: str) -> None:
    address = parse_address(text)
    assert (address.multiaddr, address.shown, address.base, address.auth) == (multiaddr, shown, base, None)
    assert isinstance(open_store(text), KuboStore)


def test_a_password_is_kept_out_of_what_is_shown() -> None:
    address = parse_address("https://alice:s3cr%40t@h.org:5001/api-key")
    assert address.auth == (b"alice", b"s3cr@t")
    assert address.shown == "https://h.org:5001"
    assert not any(secret in repr(address) for secret in ("alice", "s3cr", "api-key"))


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http://:5001",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:x",
        "http://[::1",
        "http://1.2.3:5001",
        "http://a b:5001",
        "http://h.org/?s3cret",
        "http://h.org/#s3cret",
        "http://alice:s3cret@h.org:5001",
        "/ip4/300.1.1.1/tcp/5001",
        "/ip4/127.0.0.1/tcp/99999",
        "/ip4/127.0.0.1/udp/5001",
        "/unix/run/s3cret.sock",
        "/ip6/fe80::1%25eth0/tcp/5001",
        "ftp://alice:s3cret@h.org",
        "alice:s3cret@h.org",
        "local:",
        "local:~s3cret-nobody/store",
        "local:a\0b",
        "",
    ],
)
def test_what_is_no_address_is_explained_without_repeating_it(text: str) -> None:
    with pytest.raises(InputError) as caught:
        open_store(text)
    assert not any(secret in caught.value.message for secret in SECRETS)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_time_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(InputError, match="above 0 s"):
        KuboStore("http://127.0.0.1:5001", timeout)


def test_a_folder_is_a_store(tmp_path: Path) -> None:
    store = open_store(f"local:{tmp_path}")
    assert isinstance(store, LocalStore) and store.folder == tmp_path
    assert issubclass(StoreUnavailable, FfemError)
