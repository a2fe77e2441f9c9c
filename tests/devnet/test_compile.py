"""The committed artifact is what the sources compile to, and which compiler is taken.

A native solc is stood in for by the wrapper of solc-js under the name `solc` on PATH: py-solc-x drives it alike.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ffem_chain.errors import InputError, MissingExtra
from ffem_devnet import compile as build_tool

NODE = Path(shutil.which("node") or "node").parent


@pytest.fixture
def solc_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program called `solc` first on PATH. It notes its calls in `solc.calls` beside itself."""

    def put(script: str) -> Path:
        program = tmp_path / "solc"
        program.write_text(f'#!/bin/sh\necho "$@" >> "{program}.calls"\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return program

    return put


@pytest.fixture
def no_native(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH with Node and without a solc."""
    (tmp_path / "node").symlink_to(NODE / "node")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    if shutil.which("solc"):
        monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(scope="module")
def built() -> dict[str, object]:
    """The artifact as solc-js builds it (some seconds)."""
    return build_tool.build(build_tool.SOLC_JS)


@pytest.fixture
def committed() -> dict[str, object]:
    return dict(json.loads(build_tool.ARTIFACT.read_text()))


def test_the_committed_artifact_is_what_the_sources_compile_to(built, committed):
    assert build_tool.differences(committed, built) == []
    assert committed["compiler"] == build_tool.SOLC_VERSION
    assert len(committed["bytecode"]) > 2 * 1000


def test_so_is_that_of_the_ways_it_is_compared_with():
    stores = json.loads(build_tool.STORES_ARTIFACT.read_text())
    assert build_tool.differences(stores, build_tool.build_stores(build_tool.SOLC_JS)) == []
    assert set(stores["sources"]) == {build_tool.STORES}, "it takes nothing from the registry"


def test_the_compiler_version_is_pinned_once():
    """The same solc in the sources, the Node packages and the driver."""
    package = json.loads((build_tool.ROOT / "devnet" / "package.json").read_text())
    pins = package.get("dependencies", {}) | package.get("devDependencies", {})
    assert pins["solc"] == build_tool.SOLC_VERSION
    for source in build_tool.SOURCES:
        assert f"pragma solidity {build_tool.SOLC_VERSION};" in (build_tool.CONTRACTS / source).read_text()


def test_forge_compiles_with_the_settings_of_the_artifact():
    """What the Foundry tests run is what is deployed."""
    forge = build_tool.ROOT / "devnet" / "node_modules" / ".bin" / "forge"
    answer = subprocess.run(
        [forge, "config", "--json"], cwd=build_tool.CONTRACTS, capture_output=True, text=True, check=True
    )
    config = json.loads(answer.stdout)
    settings = build_tool.SETTINGS
    assert config["evm_version"] == settings["evmVersion"]
    assert (config["optimizer"], config["optimizer_runs"]) == (True, settings["optimizer"]["runs"])
    assert config["via_ir"] is settings["viaIR"]
    assert (config["cbor_metadata"], config["bytecode_hash"]) == (False, settings["metadata"]["bytecodeHash"])


@pytest.mark.usefixtures("no_native")
def test_without_a_native_solc_solc_js_is_used():
    assert build_tool.find_compiler() == build_tool.SOLC_JS


def test_a_native_solc_of_the_pinned_version_is_preferred_and_gives_the_same_artifact(solc_on_path, committed):
    program = solc_on_path(f'exec "{build_tool.SOLC_JS}" "$@"')
    assert build_tool.find_compiler() == program
    assert build_tool.main(["--check"]) == 0
    calls = Path(f"{program}.calls").read_text()
    assert "--standard-json" in calls


@pytest.mark.parametrize(
    "script",
    [
        "echo 'solc, the solidity compiler'; echo 'Version: 0.8.30+commit.73712a01.Linux.g++'",
        "echo 'Version: 0.8.370+commit.00000000.Linux.g++'",
        "echo 'no version at all'",
        "exit 3",
    ],
    ids=["older", "a version that starts the same", "no version", "fails"],
)
def test_another_solc_is_ignored(solc_on_path, script):
    solc_on_path(script)
    assert build_tool.find_compiler() == build_tool.SOLC_JS


@pytest.mark.usefixtures("no_native")
def test_a_missing_compiler_is_a_clear_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build_tool, "SOLC_JS", tmp_path / "absent.cjs")
    with pytest.raises(MissingExtra, match=build_tool.SOLC_VERSION):
        build_tool.find_compiler()
    before = build_tool.ARTIFACT.read_bytes()
    assert build_tool.main([]) == MissingExtra.exit_status
    said = capsys.readouterr().err
    assert f"no solc {build_tool.SOLC_VERSION} was found" in said and "make setup" in said
    assert build_tool.ARTIFACT.read_bytes() == before


def test_a_compiler_of_another_version_cannot_be_forced(solc_on_path, capsys):
    program = solc_on_path("echo 'Version: 0.8.30+commit.73712a01.Linux.g++'")
    assert build_tool.main(["--check", "--solc", str(program)]) == InputError.exit_status
    assert f"solc is not solc {build_tool.SOLC_VERSION}" in capsys.readouterr().err


def test_a_drifted_artifact_is_reported_by_what_differs(built, committed, monkeypatch, tmp_path, capsys):
    drifted = committed | {"bytecode": "0x" + "00" * 8, "compiler": "0.8.30"}
    drifted["sources"] = committed["sources"] | {"src/KeyRegistry.sol": "0" * 64}
    artifact = tmp_path / "KeyRegistry.json"
    artifact.write_text(json.dumps(drifted))
    monkeypatch.setattr(build_tool, "ARTIFACT", artifact)
    monkeypatch.setattr(build_tool, "build", lambda solc: built)
    assert build_tool.main(["--check"]) == 1
    assert "(bytecode, compiler, sources differ)" in capsys.readouterr().err
    assert json.loads(artifact.read_text()) == drifted
    assert build_tool.main([]) == 0
    assert artifact.read_text() == (build_tool.ROOT / "ffem_chain" / "chain" / "KeyRegistry.json").read_text()


def test_a_missing_part_of_the_artifact_is_a_difference(built):
    part = {key: value for key, value in built.items() if key != "abi"}
    assert build_tool.differences(part, built) == ["abi"]
    assert build_tool.differences(built, part) == ["abi"]


def test_a_package_that_is_not_installed_is_a_clear_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build_tool, "NODE_MODULES", tmp_path)
    assert build_tool.main(["--check"]) == MissingExtra.exit_status
    said = capsys.readouterr().err
    assert "@openzeppelin/contracts/" in said and "make setup" in said


def test_what_the_contract_takes_from_packages_is_pinned_by_the_artifact(built):
    """Every source that goes into the code has its digest in the artifact, those of packages too."""
    assert set(build_tool.SOURCES) < set(built["sources"])
    taken = set(built["sources"]) - set(build_tool.SOURCES)
    assert "@openzeppelin/contracts/utils/cryptography/ECDSA.sol" in taken
    assert all(name.startswith("@openzeppelin/contracts/") for name in taken)


def test_source_that_does_not_compile_gives_the_compilers_words(tmp_path):
    shutil.copytree(build_tool.CONTRACTS / "src", tmp_path / "src")
    broken = tmp_path / "src" / "Keys.sol"
    broken.write_text(broken.read_text().replace("return _activeKey[wallet][suite];", "return nothing;"))
    with pytest.raises(InputError, match="nothing"):
        build_tool.build(build_tool.SOLC_JS, tmp_path)
