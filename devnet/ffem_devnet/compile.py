"""Reproducible build of the contract: `python -m ffem_devnet.compile [--check]`.

The same for the ways of keeping bytes that it is compared with (`EnvelopeStores`; no part of the library).

The artifact (ABI, bytecode, compiler, settings, digests of the sources, OpenZeppelin's among them) is committed in the
library. A native solc of the pinned version on PATH is driven by py-solc-x; otherwise solc-js from the pinned Node
packages, through the same py-solc-x call. Both get the same standard JSON, and with the metadata left out both give the
same bytecode.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import solcx
from solcx.exceptions import SolcError

from ffem_chain.errors import InputError, MissingExtra

SOLC_VERSION = "0.8.37"
ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
ARTIFACT = ROOT / "ffem_chain" / "chain" / "KeyRegistry.json"
STORES_ARTIFACT = ROOT / "devnet" / "ffem_devnet" / "EnvelopeStores.json"
SOLC_JS = CONTRACTS / "solc-js.cjs"
NODE_MODULES = ROOT / "devnet" / "node_modules"
SOURCES = tuple(sorted(f"src/{path.name}" for path in (CONTRACTS / "src").glob("*.sol")))
STORES = "src/bench/EnvelopeStores.sol"
_OUTPUTS = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
SETTINGS: dict[str, Any] = {
    "evmVersion": "prague",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "outputSelection": {"src/KeyRegistry.sol": {"KeyRegistry": _OUTPUTS}},
    "viaIR": True,
}


def compiler_version(solc: Path) -> str:
    """The x.y.z that a solc binary (or the wrapper of solc-js) reports, empty where it does not run."""
    try:
        answer = subprocess.run([solc, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"Version: (\d+\.\d+\.\d+)", answer.stdout)
    return found.group(1) if found else ""


def find_compiler() -> Path:
    """A native solc of exactly the pinned version on PATH, else the wrapper of solc-js."""
    native = shutil.which("solc")
    if native and compiler_version(Path(native)) == SOLC_VERSION:
        return Path(native)
    if compiler_version(SOLC_JS) == SOLC_VERSION:
        return SOLC_JS
    raise MissingExtra(f"no solc {SOLC_VERSION} was found", "run `make setup`, or put a native solc on PATH")


_IMPORT = re.compile(r'^import [^"]*"([^"]+)";', re.MULTILINE)


def read_sources(contracts: Path, names: Sequence[str] = SOURCES) -> dict[str, str]:
    """Source unit name -> text: the sources `names` in `contracts`, and what they import from pinned Node packages.

    Raises MissingExtra where a package is not installed.
    """
    found = {name: (contracts / name).read_text() for name in names}
    todo = list(found)
    while todo:
        importer = todo.pop()
        for path in _IMPORT.findall(found[importer]):
            name = posixpath.normpath(posixpath.join(posixpath.dirname(importer), path)) if path[0] == "." else path
            if name in found:
                continue
            try:
                found[name] = (NODE_MODULES / name).read_text()
            except OSError as error:
                raise MissingExtra(f"{name} was not found", "run `make setup`") from error
            todo.append(name)
    return found


def build(solc: Path, contracts: Path = CONTRACTS) -> dict[str, Any]:
    """Compiles the contract and returns the artifact. Raises InputError with the compiler's words, MissingExtra."""
    return _build(solc, contracts, "src/KeyRegistry.sol", "KeyRegistry", SOURCES)


def build_stores(solc: Path, contracts: Path = CONTRACTS) -> dict[str, Any]:
    """The same of `EnvelopeStores`."""
    return _build(solc, contracts, STORES, "EnvelopeStores", (STORES,))


def _build(solc: Path, contracts: Path, source: str, name: str, names: Sequence[str]) -> dict[str, Any]:
    sources = read_sources(contracts, names)
    task = {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in sources.items()},
        "settings": {**SETTINGS, "outputSelection": {source: {name: _OUTPUTS}}},
    }
    try:
        output = solcx.compile_standard(task, solc_binary=solc)
    except SolcError as error:
        raise InputError(f"the contract does not compile: {error.message}") from error
    contract = output["contracts"][source][name]
    deployed = contract["evm"]["deployedBytecode"]
    references = [r for ranges in deployed["immutableReferences"].values() for r in ranges]
    return {
        "contractName": name,
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + deployed["object"],
        "immutableReferences": sorted(references, key=lambda r: int(r["start"])),
        "compiler": SOLC_VERSION,
        "settings": {key: value for key, value in SETTINGS.items() if key != "outputSelection"},
        "sources": {unit: hashlib.sha256(text.encode()).hexdigest() for unit, text in sources.items()},
    }


def differences(committed: dict[str, Any], built: dict[str, Any]) -> list[str]:
    """Names of the artifact's parts that differ."""
    return [key for key in sorted(committed.keys() | built.keys()) if committed.get(key) != built.get(key)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ffem_devnet.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed artifact, write nothing")
    parser.add_argument("--solc", type=Path, help="compiler to use instead of the one that is found")
    options = parser.parse_args(arguments)
    try:
        solc = options.solc or find_compiler()
        if compiler_version(solc) != SOLC_VERSION:
            raise InputError(f"{solc.name} is not solc {SOLC_VERSION}")
        made = ((ARTIFACT, build(solc)), (STORES_ARTIFACT, build_stores(solc)))
    except (InputError, MissingExtra) as error:
        print(f"error: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return error.exit_status
    status = 0
    for path, built in made:
        if not options.check:
            path.write_text(json.dumps(built, indent=1, sort_keys=True) + "\n")
            continue
        changed = differences(json.loads(path.read_text()), built)
        if changed:
            print(
                f"error: the committed {path.name} is not what the sources compile to ({', '.join(changed)} differ); "
                "run `python -m ffem_devnet.compile` and commit it",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
