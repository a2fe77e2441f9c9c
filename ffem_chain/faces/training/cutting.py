"""Faces for training as one array, each as a camera would feed it to a flow whose square has a margin.

    python -m ffem_chain.faces.training.cutting OUT.npy --aligned ALIGNED... --photos PHOTOS... --margin 0.08

Of photos the face nearest to the middle is taken, turned to the front where that can be undone. Pictures that are
aligned already end at the template's square: what lies beyond is their mirror image. The result is a `--cache` of
`training.train` and `training.refining`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.facemesh import FaceMesh
from ffem_chain.faces.posing.square import plain, turned

Picture = NDArray[np.uint8]
_SEED = 1


class Cutter:
    """Faces uint8 (m, m, 3) of side `size` with a `margin` in sides of the template."""

    def __init__(self, size: int, margin: float) -> None:
        self.size, self.margin = size, margin
        self._detector, self._pose = CenterFace(), FaceMesh()

    def aligned(self, picture: Picture) -> Picture:
        """From a square picture that is the template's."""
        side = len(picture)
        rim = round(side * self.margin) + 2
        padded = np.asarray(cv2.copyMakeBorder(picture, rim, rim, rim, rim, cv2.BORDER_REFLECT_101), np.uint8)
        scale = side / self.size
        matrix = np.array([[scale, 0, rim + (scale - 1) / 2], [0, scale, rim + (scale - 1) / 2]])
        return align.warp_in(padded, align.wider(matrix, self.size, self.margin), self.size)

    def photo(self, picture: Picture) -> Picture | None:
        """From a photo; None where no face is found."""
        middle = np.array(picture.shape[1::-1]) / 2
        found = self._detector.detect(picture)
        if not found:
            return None
        nearest = min(found, key=lambda face: float(np.hypot(*(face.landmarks.mean(axis=0) - middle))))
        front = turned(picture, nearest, self._pose.estimate(picture, nearest), self.size, self.margin)
        return (front or plain(picture, nearest, self.size, self.margin)).pixels


def files_of(folders: list[Path]) -> list[Path]:
    """The pictures below the folders, in the order of their names."""
    return sorted(p for f in folders for p in f.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})


def cut(cutter: Cutter, aligned: list[Path], photos: list[Path]) -> Iterator[Picture]:
    """Faces of all files, mixed, so that every twentieth (which is held out) is a sample of both."""
    work = [(path, True) for path in aligned] + [(path, False) for path in photos]
    order = np.random.default_rng(_SEED).permutation(len(work))
    for path, is_aligned in track([work[at] for at in order], description="faces", disable=not sys.stderr.isatty()):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            print(f"skipped, not a picture: {path.name}", file=sys.stderr)
            continue
        rgb = np.ascontiguousarray(picture[:, :, ::-1], np.uint8)
        face = cutter.aligned(rgb) if is_aligned else cutter.photo(rgb)
        if face is None:
            print(f"skipped, no face: {path.name}", file=sys.stderr)
        else:
            yield face


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the array to write, .npy")
    parser.add_argument("--aligned", type=Path, nargs="*", default=[], help="folders of square, aligned faces")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of photos with one face each")
    parser.add_argument("--size", type=int, default=128, help="side of the faces, px")
    parser.add_argument("--margin", type=float, default=0.08, help="beyond the template, in its sides")
    args = parser.parse_args()
    faces = np.stack(list(cut(Cutter(args.size, args.margin), files_of(args.aligned), files_of(args.photos))))
    np.save(args.out, faces)
    print(f"{len(faces)} faces")


if __name__ == "__main__":
    main()
