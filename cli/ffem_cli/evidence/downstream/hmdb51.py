"""HMDB51 in its own layout (Kuehne et al., ICCV 2011): clips in a folder a class, and three splits in text files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ffem_chain.errors import FormatError, InputError

SPLITS = "testTrainMulti_7030_splits"
_TRAIN, _TEST = "1", "2"  # 0: the clip is in neither part


@dataclass(frozen=True)
class Clip:
    """A clip: its file, "class/file", the number of its class, and the film that it was cut from."""

    path: Path
    name: str
    label: int
    source: str


@dataclass(frozen=True)
class Split:
    """Names of the classes in the order of their numbers, and the clips of both parts."""

    classes: tuple[str, ...]
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]


def read(videos: Path, splits: Path, number: int, most: int | None = None) -> Split:
    """Split `number` (1 to 3) of the clips below `videos`, at most `most` of a class in each part.

    `splits` holds CLASS_test_splitNUMBER.txt for every class, or a folder of HMDB51's own name that does. A line is the
    file of a clip, a blank, and 1 (train), 2 (test) or 0. InputError where files are missing, FormatError where a line
    is none.
    """
    below = splits / SPLITS
    folder = below if below.is_dir() else splits
    ending = f"_test_split{number}.txt"
    files = sorted(folder.glob(f"*{ending}"))
    if not files:
        raise InputError(f"{folder} holds no files *{ending}", f"unpack HMDB51's {SPLITS} there")
    classes = tuple(file.name.removesuffix(ending) for file in files)
    parts: dict[str, list[Clip]] = {_TRAIN: [], _TEST: []}
    missing: list[Path] = []
    for label, (name, file) in enumerate(zip(classes, files, strict=True)):
        taken = dict.fromkeys(parts, 0)
        for part, clip in _lines(file, videos / name, label):
            if part not in taken or (most is not None and taken[part] >= most):
                continue
            taken[part] += 1
            parts[part].append(clip)
            missing += [] if clip.path.is_file() else [clip.path]
    if missing:
        raise InputError(f"{len(missing)} clips are missing, the first is {missing[0]}", "unpack all classes of HMDB51")
    if not parts[_TEST]:
        raise InputError(f"split {number} in {folder} has no clips to test with", f"unpack HMDB51's {SPLITS} there")
    return Split(classes, tuple(parts[_TRAIN]), tuple(parts[_TEST]))


def _lines(file: Path, folder: Path, label: int) -> list[tuple[str, Clip]]:
    found = []
    for line in file.read_text("utf-8").splitlines():
        words = line.rsplit(maxsplit=1)
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("0", _TRAIN, _TEST) or Path(words[0]).name != words[0]:
            raise FormatError(f"{file} has a line that is none of HMDB51's: {line[:80]!r}", "FILE.avi 0, 1 or 2")
        # names are FILM_CLASS_properties_number.avi
        source = words[0].partition(f"_{folder.name}_")[0]
        found.append((words[1], Clip(folder / words[0], f"{folder.name}/{words[0]}", label, source)))
    return found
