"""Makes images/pose.jpg of POSE.md from a portrait of somebody who does not exist.

python docs/make_pose_image.py PORTRAIT
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ffem_chain.capture.model import Box
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.posing import frontal, square
from ffem_chain.faces.posing.facemesh import FaceMesh
from ffem_chain.faces.posing.posecheck import rendered

SIDE = 168
SHOWN = ((-30, 0, 0), (30, 0, 0), (0, -15, 0), (0, 15, 0), (0, 0, -20), (0, 0, 20))


def main() -> None:
    portrait = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
    detector, estimator = CenterFace(coarse=(512,)), FaceMesh()
    landmarks = detector.detect(portrait)[0].landmarks
    columns = []
    for angles in SHOWN:
        picture = rendered(portrait, landmarks, *angles)
        face = detector.detect(picture)[0]
        pose = estimator.estimate(picture, face)
        cut = square.turned(picture, face, pose, SIDE)
        assert cut is not None
        x, y = (int(v) for v in face.landmarks.mean(axis=0))
        box = Box(x - 110, y - 120, 220, 220)
        laid, alpha = frontal.lay_back(cut.pixels.astype(np.float32), cut.matrix, cut.angles, box)
        seen = picture[box.rows, box.columns]
        back = np.clip(alpha * laid + (1 - alpha) * (0.25 * seen + 150), 0, 255).astype(np.uint8)
        name = ("yaw", "pitch", "roll")[int(np.argmax(np.abs(angles)))]
        label = np.full((26, SIDE, 3), 255, np.uint8)
        text = f"{name} {sum(angles):+d}"
        cv2.putText(label, text, (40, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(np.vstack([label, cv2.resize(seen, (SIDE, SIDE)), cut.pixels, cv2.resize(back, (SIDE, SIDE))]))
    out = Path(__file__).parent / "images" / "pose.jpg"
    Image.fromarray(np.hstack(columns)).save(out, quality=85)


if __name__ == "__main__":
    main()
