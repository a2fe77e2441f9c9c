"""What each shipped model does with a real face: sealed, opened by the flow alone, drawn as a fake."""

from __future__ import annotations

import numpy as np
import pytest

from ffem_chain.errors import NotForMe
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model, model_names, model_of
from ffem_chain.faces.readers import fake, open_flow

from .support import Picture, psnr, seal


def test_captures_of_every_released_model_stay_readable() -> None:
    """Ids go into captures: this list only grows."""
    released = {
        "2b1d0015fa0ce98daf76b3942e794c12f816d13544c48af516b0d1cb548db75f": "ffem-64",
        "de82fcd5d9eb37f709eae0bcd4e099d86ab8440434d18032df20b33b1e176a0a": "ffem-128",
    }
    assert {model_of(bytes.fromhex(digest)).name for digest in released} == set(model_names())
    for digest, name in released.items():
        assert model_of(bytes.fromhex(digest)) is load_model(name)
    with pytest.raises(NotForMe, match="not installed"):
        model_of(bytes(32))


@pytest.mark.parametrize("name", ["ffem-64", "ffem-128"])
def test_a_face_is_opened_by_the_flow_alone(name: str, photo: Picture, detector: CenterFace) -> None:
    model = load_model(name)
    one = seal(photo, model, detector)
    (face,) = one.capture.faces
    assert len(face.z) == 3 * model.size**2 * 10 // 8
    opened = open_flow(one.capture, one.image, face.index, one.face_key(face.index), model)
    box = one.capture.public_faces[face.index].box
    middle = (slice(box.y + box.height * 2 // 5, box.y + box.height * 4 // 5), slice(box.x + 20, box.right - 20))
    assert psnr(opened[middle], photo[middle]) > psnr(one.image[middle], photo[middle]) + 5
    drawn = fake(one.capture, one.image, 0.5, model)
    assert np.array_equal(drawn, fake(one.capture, one.image, 0.5, model))
    assert psnr(drawn[middle], photo[middle]) < psnr(opened[middle], photo[middle])


def test_the_larger_model_keeps_more_of_a_face(photo: Picture, detector: CenterFace) -> None:
    found = {}
    for name in ("ffem-64", "ffem-128"):
        model = load_model(name)
        one = seal(photo, model, detector)
        opened = open_flow(one.capture, one.image, 0, one.face_key(0), model)
        box = one.capture.public_faces[0].box
        middle = (slice(box.y + box.height // 2, box.y + box.height * 3 // 4), slice(box.x + 40, box.right - 40))
        found[name] = psnr(opened[middle], photo[middle])
    assert found["ffem-128"] > found["ffem-64"]


def test_what_is_around_the_square_goes_on_from_the_face(photo: Picture, detector: CenterFace) -> None:
    """Filled from the background alone, the box of this photo came back at 13.8 dB: a square face on a wall."""
    model = load_model("ffem-128")
    one = seal(photo, model, detector)
    opened = open_flow(one.capture, one.image, 0, one.face_key(0), model)
    box = one.capture.public_faces[0].box
    assert psnr(opened[box.rows, box.columns], photo[box.rows, box.columns]) > 16
    outside = np.ones(photo.shape[:2], bool)
    outside[box.rows, box.columns] = False
    assert np.array_equal(opened[outside], photo[outside])
