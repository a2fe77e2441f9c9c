"""Flows whose square reaches beyond the template: geometry, turning there and back, opening, the file of weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ffem_chain.capture.model import Box
from ffem_chain.errors import FormatError
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.glow import Glow, GlowConfig
from ffem_chain.faces.flow.weights import load_bytes, load_model
from ffem_chain.faces.flow.weightsfile import MOST_MARGIN, dump
from ffem_chain.faces.posing import align, frontal, square
from ffem_chain.faces.posing.pose import Pose
from ffem_chain.faces.readers import open_flow

from .support import Looks, Picture, face_at, psnr, seal

MARGIN, SIZE = 0.08, 128
MATRIX = np.array([[1.2, -0.3, 40.0], [0.3, 1.2, 60.0]])


def test_the_wider_square_has_the_same_middle_and_its_corner_a_margin_away() -> None:
    wide = align.wider(MATRIX, SIZE, MARGIN)
    middle, corner = np.array([(SIZE - 1) / 2] * 2), np.array([-0.5, -0.5])
    assert np.allclose(wide[:, :2] @ middle + wide[:, 2], MATRIX[:, :2] @ middle + MATRIX[:, 2])
    out = corner - MARGIN * SIZE
    assert np.allclose(wide[:, :2] @ corner + wide[:, 2], MATRIX[:, :2] @ out + MATRIX[:, 2])
    assert np.allclose(align.wider(wide, SIZE, -MARGIN / (1 + 2 * MARGIN)), MATRIX)


@pytest.mark.parametrize("yaw", [0, 25])
def test_what_lies_beyond_the_template_is_in_the_square_and_comes_back(yaw: float, photo: Picture) -> None:
    face = face_at(175, 54, 100)
    pose = Pose(yaw, 0, 0)
    wide, tight = (square.turned(photo, face, pose, SIZE, margin) for margin in (MARGIN, 0.0))
    assert wide is not None and tight is not None
    assert np.array_equal(wide.matrix, tight.matrix) and wide.angles == tight.angles
    assert square.comes_back(photo, wide) > square.LEAST
    # the template's part of the wide square is the tight one, coarser
    inner = align.wider(np.array([[1.0, 0, 0], [0, 1, 0]]), SIZE, -MARGIN / (1 + 2 * MARGIN))
    assert psnr(align.warp_in(wide.pixels, inner, SIZE)[8:-8, 8:-8], tight.pixels[8:-8, 8:-8]) > 28
    box = Box(100, 0, 260, 260)
    covers = [
        frontal.lay_back(s.pixels.astype(np.float32), s.matrix, s.angles, box, s.margin)[1] for s in (wide, tight)
    ]
    assert (covers[0] > 0).sum() > 1.15 * (covers[1] > 0).sum()
    assert (covers[0] - covers[1]).min() > -0.05


@pytest.mark.parametrize("pose", [Pose(0, 0, 0), Pose(20, 5, 0)], ids=["ahead", "turned"])
def test_more_of_the_face_is_opened_by_the_flow(pose: Pose, photo: Picture, detector: CenterFace) -> None:
    shares = []
    for margin in (0.0, MARGIN):
        model = replace(load_model("ffem-128"), margin=margin)
        one = seal(photo, model, detector, pose=Looks(pose))
        opened = open_flow(one.capture, one.image, 0, one.face_key(0), model)
        box = one.capture.public_faces[0].box
        off = np.abs(opened[box.rows, box.columns].astype(int) - photo[box.rows, box.columns])
        shares.append(float((off.max(axis=2) < 20).mean()))
    assert shares[1] > shares[0] + 0.03


def test_the_margin_is_in_the_file_and_bounded() -> None:
    flow = Glow(GlowConfig(16, 2, 2, 8))
    assert load_bytes(dump(flow, 1), "none").margin == 0
    assert load_bytes(dump(flow, 1, margin=MARGIN), "wide").margin == MARGIN
    with pytest.raises(ValueError, match="margin"):
        dump(flow, 1, margin=MOST_MARGIN + 0.01)
    data = dump(flow, 1, margin=0.0625)
    for other in (b"0.9625", b"1e3456", b"-0.025"):
        with pytest.raises(FormatError, match="another version"):
            load_bytes(data.replace(b"0.0625", other), "strange")
