"""Coverage-guided fuzzing of what reads untrusted bytes: `python tests/fuzz/fuzz_capture.py CORPUS [options]`.

Options are those of libFuzzer, such as -max_total_time=600. The corpus folder is filled from the test vectors at the
start. An input's first byte picks the reader; readers are instrumented, so that each keeps inputs of its own. A reader
may refuse by an FfemError; anything else is a finding, and so is a capture that is accepted but not written again byte
for byte.
"""

from __future__ import annotations

import base64
import hashlib
import json
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ffem_chain"]):
    from ffem_chain import cborcheck
    from ffem_chain.capture import format as files_format
    from ffem_chain.capture.batch import CaptureList
    from ffem_chain.capture.model import Capture
    from ffem_chain.capture.picture import decode
    from ffem_chain.errors import FfemError
    from ffem_chain.keys.grants import parse_payload, parse_request_key
    from ffem_chain.keys.scope import Scope
    from ffem_chain.keys.vault import check_vault
    from ffem_chain.keys.wallet import parse_keystore

VECTORS = Path(__file__).parents[1] / "vectors"
GOOD = {
    name: base64.b64decode(data) for name, data in json.loads((VECTORS / "capture.json").read_text())["files"].items()
}
BODIES = [body for face in Capture.from_files(GOOD).faces for body in (face.z, face.exact, face.geometry)]
_MOST_MEMORY = 3 << 30
MANIFEST, POSE, FACES, IMAGE = "manifest.json", "pose.json", "faces.cbor", "image.png"


def _canonical(data: bytes) -> bytes:
    """JSON as the format writes it, so that what is inside gets read; other bytes as they are."""
    try:
        value = json.loads(data)
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    except (ValueError, RecursionError):
        return data


@atheris.instrument_func
def read_capture(files: dict[str, bytes]) -> None:
    """Read four files; what is accepted must be what would be written."""
    assert Capture.from_files(files).to_files() == files


def _with(name: str, data: bytes) -> dict[str, bytes]:
    """The good capture with one file replaced and the manifest's digests in order."""
    files = {**GOOD, name: data}
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {part: hashlib.sha256(files[part]).hexdigest() for part in manifest["files"]}
    return {**files, MANIFEST: _canonical(json.dumps(manifest).encode())}


@atheris.instrument_func
def read_manifest(data: bytes) -> None:
    """A manifest as it comes."""
    read_capture({**GOOD, MANIFEST: data})


@atheris.instrument_func
def read_manifest_json(data: bytes) -> None:
    """A manifest put in its canonical form."""
    read_capture({**GOOD, MANIFEST: _canonical(data)})


@atheris.instrument_func
def read_pose(data: bytes) -> None:
    """A pose.json that the manifest vouches for."""
    read_capture(_with(POSE, _canonical(data)))


@atheris.instrument_func
def read_faces(data: bytes) -> None:
    """A faces.cbor that the manifest vouches for."""
    read_capture(_with(FACES, data))


@atheris.instrument_func
def read_faces_skeleton(data: bytes) -> None:
    """A faces.cbor whose long values are marks, put back here, so that mutations meet the structure."""
    for number, body in enumerate(BODIES):
        data = data.replace(b"<%d>" % number, body)
    read_capture(_with(FACES, data))


@atheris.instrument_func
def read_small_faces(data: bytes) -> None:
    """CBOR alone, for the walk that comes before the decoder."""
    cborcheck.check("bytes", data, max_items=64, max_depth=4)


@atheris.instrument_func
def read_image(data: bytes) -> None:
    """An image.png, decoded."""
    read_capture(_with(IMAGE, data))
    head = files_format.read_manifest(GOOD[MANIFEST])
    pixels = decode(data, head.width, head.height)
    assert pixels.shape == (head.height, head.width, 3)


@atheris.instrument_func
def read_scope(data: bytes) -> None:
    """A scope; what is accepted packs to the same bytes."""
    assert Scope.unpack(data).pack() == data


@atheris.instrument_func
def read_payload(data: bytes) -> None:
    """A grant's payload behind a byte with its suite (2 bits) and number of keepers (4 bits)."""
    if data:
        parse_payload(data[1:], data[0] & 3, data[0] >> 4)


@atheris.instrument_func
def read_request_key(data: bytes) -> None:
    """A request key as it is on the chain."""
    parse_request_key(data)


@atheris.instrument_func
def read_vault(data: bytes) -> None:
    """A vault as far as it shows without its passphrase."""
    check_vault(data)


@atheris.instrument_func
def read_keystore(data: bytes) -> None:
    """A wallet's keystore before its passphrase is tried."""
    parse_keystore(data)


@atheris.instrument_func
def read_batch(data: bytes) -> None:
    """The list of a batch; what is accepted packs to the same bytes and has a root."""
    listed = CaptureList.unpack(data)
    assert listed.pack() == data
    assert len(listed.root) == 32


TARGETS: tuple[Callable[[bytes], None], ...] = (
    read_manifest,
    read_manifest_json,
    read_pose,
    read_faces,
    read_faces_skeleton,
    read_small_faces,
    read_image,
    read_scope,
    read_payload,
    read_request_key,
    read_vault,
    read_keystore,
    read_batch,
)


def one_input(data: bytes) -> None:
    """One run of the fuzzer."""
    if data:
        with suppress(FfemError):
            TARGETS[data[0] % len(TARGETS)](data[1:])


def seed(folder: Path) -> None:
    """Fill the corpus from the test vectors."""
    keystore = {
        "version": 3,
        "address": "00" * 20,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "00" * 16},
            "ciphertext": "00" * 32,
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": 262144, "r": 8, "p": 1, "salt": "00" * 32},
            "mac": "00" * 32,
        },
    }
    skeleton = GOOD[FACES]
    for number, body in enumerate(BODIES):
        skeleton = skeleton.replace(body, b"<%d>" % number)
    grants = json.loads((VECTORS / "grants.json").read_text())["cases"]
    seeds = [
        (read_manifest, GOOD[MANIFEST]),
        (read_manifest_json, GOOD[MANIFEST]),
        (read_pose, GOOD[POSE]),
        (read_faces, GOOD[FACES]),
        (read_faces_skeleton, skeleton),
        (read_small_faces, bytes.fromhex("a2656661636573818401410a6161a06776657273696f6e01")),
        (read_image, GOOD[IMAGE]),
        *(
            (read_payload, bytes([case["suite"] | case["keepers"] << 4]) + bytes.fromhex(case["sealed"][1]))
            for case in grants
        ),
        (read_scope, bytes.fromhex(grants[0]["scope"])),
        *((read_request_key, bytes.fromhex(case["request"]["public"])) for case in grants),
        (read_vault, bytes.fromhex(json.loads((VECTORS / "vault.json").read_text())["file"])),
        (read_keystore, json.dumps(keystore).encode()),
        (read_batch, bytes.fromhex(json.loads((VECTORS / "batch.json").read_text())["list"])),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for number, (target, data) in enumerate(seeds):
        (folder / f"seed{number}").write_bytes(bytes([TARGETS.index(target)]) + data)


def main() -> None:
    """Fuzz until libFuzzer's options say to stop."""
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if not folders:
        raise SystemExit(__doc__)
    seed(Path(folders[0]))
    # libFuzzer's own limit reads the peak of whoever started this process, where that is higher.
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    atheris.Setup([*sys.argv, "-max_len=32768", "-len_control=0", "-rss_limit_mb=0"], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
