"""The process that runs OpenCV 4's Haar cascade (`haar`)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2

from ffem_cli.evidence.fairness import pipe

FILE = "haarcascade_frontalface_default.xml"


def main() -> None:
    """Answers grey pictures' faces as [x, y, width, height, score]."""
    cv2.setNumThreads(1)
    path = Path(cv2.__file__).parent / "data" / FILE
    classifier: Any = getattr(cv2, "CascadeClassifier")  # noqa: B009 - the checker sees OpenCV 5, which has none
    cascade = classifier(str(path))

    def answer(picture: pipe.Picture, question: dict[str, Any]) -> list[list[float]]:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        boxes = cascade.detectMultiScale(
            grey,
            scaleFactor=question["scale_factor"],
            minNeighbors=question["min_neighbours"],
            minSize=(question["min_size"], question["min_size"]),
        )
        return [[float(v) for v in box] for box in boxes]

    pipe.serve({"opencv": cv2.__version__, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}, answer)


if __name__ == "__main__":
    main()
