"""Faces with age, gender and origin in their file names, as UTKFace has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ffem_chain.errors import InputError
from ffem_cli.eval import data

GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Other")  # UTKFace's own words and order
MALE, FEMALE, INDIAN = 0, 1, 3
# age_gender_race_date.jpg, and the .chip.jpg of the aligned edition
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)(\.jpg\.chip)?\.(jpg|jpeg|png)", re.IGNORECASE)


@dataclass(frozen=True)
class Face:
    """A picture file; `gender` and `race` are indices into `GENDERS` and `RACES`, age in years. All as labelled by
    UTKFace, whose labels are estimates, checked by people."""

    path: Path
    name: str
    age: int
    gender: int
    race: int

    @property
    def cell(self) -> int:
        """Its gender x race cell, 0 to 9."""
        return self.gender * len(RACES) + self.race


@dataclass(frozen=True)
class Faces:
    """The faces of a folder, sorted by path, and how many files had names without age, gender and race."""

    faces: list[Face]
    skipped: int


def load(folder: Path) -> Faces:
    """All pictures below a folder. InputError where no name says whose face it is."""
    files, found = data.pictures(folder), []
    for path in files:
        match = _NAME.fullmatch(path.name)
        if match:
            age, gender, race = (int(match[part]) for part in (1, 2, 3))
            found.append(Face(path, path.relative_to(folder).as_posix(), age, gender, race))
    if not found:
        hint = "UTKFace's names: age_gender_race_date.jpg, gender 0 or 1, race 0 to 4"
        raise InputError(f"no file in {folder} is named after age, gender and race", hint)
    return Faces(found, len(files) - len(found))


def sample(faces: Sequence[Face], a_cell: int, seed: int) -> list[Face]:
    """At most `a_cell` faces of each gender x race cell, drawn by the seed: first one of each cell, then the next of
    each. A larger sample of the same seed begins with a smaller one."""
    drawn = [faces[at] for at in np.random.default_rng(seed).permutation(len(faces))]
    by_cell = [[face for face in drawn if face.cell == cell] for cell in range(len(GENDERS) * len(RACES))]
    return [cell[turn] for turn in range(a_cell) for cell in by_cell if turn < len(cell)]
