"""True boxes in WIDER FACE's own layout (Yang et al., CVPR 2016), where somebody has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ffem_chain.errors import FormatError
from ffem_chain.faces.finding.detect import Detection
from ffem_cli.eval.data import Photo

ANNOTATION = Path("wider_face_split") / "wider_face_val_bbx_gt.txt"
_PICTURES = (Path("WIDER_val") / "images", Path("images"), Path())
_INVALID = 7  # which of a box's ten numbers says that WIDER FACE itself does not count it


def has_truth(folder: Path) -> bool:
    """Whether a folder holds WIDER FACE's annotation of its validation photos."""
    return (folder / ANNOTATION).is_file()


def read(folder: Path) -> list[tuple[Photo, list[Detection]]]:
    """Photos of WIDER FACE's validation set that lie in `folder` (below `WIDER_val/images`, `images` or itself), each
    with its true boxes, without landmarks. FormatError where the annotation is damaged or none of its photos is there.

    The annotation: a line with the photo's path, one with the number of boxes, then a line a box: left, top, width,
    height, blur, expression, illumination, invalid, occlusion, pose. Zero boxes are followed by one line of zeros.
    """
    file = folder / ANNOTATION
    lines = iter(file.read_text("utf-8").splitlines())
    found = []
    for name in lines:
        if not name.strip():
            continue
        try:
            count = int(next(lines))
            boxes = [[int(number) for number in next(lines).split()] for _ in range(max(1, count))][:count]
            faces = [_face(box) for box in boxes if not box[_INVALID]]
        except (ValueError, IndexError, StopIteration):
            raise FormatError(f"{file} is damaged after {name.strip()[:100]!r}", "take WIDER FACE's own file") from None
        for below in _PICTURES:
            path = folder / below / name.strip()
            if path.is_file():
                found.append((Photo(path, name.strip(), path.stem), faces))
                break
    if not found:
        raise FormatError(f"none of the photos that {file} lists is in {folder}", "unpack WIDER_val there")
    return found


def _face(box: list[int]) -> Detection:
    left, top, width, height = box[:4]
    return Detection((left, top, left + width, top + height), np.empty((0, 2)), 1.0)
