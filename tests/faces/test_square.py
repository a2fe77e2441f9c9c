"""Sealing with a model that turns faces to the front: what is sealed, what is public, what opens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ffem_chain.capture.exact import open_exact, open_geometry
from ffem_chain.faces.finding.detect import CenterFace, Detection
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing import align, posecheck
from ffem_chain.faces.posing.pose import Pose
from ffem_chain.faces.readers import fake, open_flow
from ffem_chain.keys.tree import geometry_key

from .support import Looks, Says, SealedPicture, psnr, seal

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def frontal_model(model: Model) -> Model:
    return replace(model, frontalize=True)


@pytest.fixture(scope="module")
def head(photo: Picture) -> tuple[Picture, Detection]:
    """A head that looks 30 degrees to the picture's right."""
    detector = CenterFace(coarse=(512,))
    picture = posecheck.rendered(photo, detector.detect(photo)[0].landmarks, 30, 0)
    return picture, detector.detect(picture)[0]


def sealed_numbers(sealed: SealedPicture) -> tuple[float, ...]:
    face = sealed.capture.faces[0]
    key = geometry_key(sealed.face_key(0))
    return tuple(open_geometry(key, face.geometry_nonce, face.geometry, sealed.capture.manifest.uid, 0))


def test_a_turned_face_is_sealed_from_the_front(head: tuple[Picture, Detection], frontal_model: Model) -> None:
    picture, face = head
    one = seal(picture, frontal_model, Says([face]), pose=Looks(Pose(30.4, -1.2, 0.7)))
    values = sealed_numbers(one)
    assert len(values) == 24 and values[11:13] == (30.4, -1.2)
    assert values[13] == pytest.approx(np.degrees(np.arctan2(values[8], values[5])))
    public = one.capture.public_faces[0]
    assert (public.yaw, public.pitch, public.roll) == (30, 0, 0)
    assert public.alignment == align.public_alignment(np.array(values[5:11]).reshape(2, 3), frontal_model.size)
    assert one.not_frontalized == 0
    opened = open_flow(one.capture, one.image, 0, one.face_key(0), frontal_model)
    left, top = (int(v) for v in face.landmarks.min(axis=0))
    right, bottom = (int(v) for v in face.landmarks.max(axis=0))
    inner = (slice(top, bottom), slice(left, right))
    assert psnr(opened[inner], picture[inner]) > 22
    # without the angles the front of the face would lie there
    ahead = open_flow(one.capture, one.image, 0, one.face_key(0), replace(frontal_model, frontalize=False))
    assert psnr(opened[inner], picture[inner]) > psnr(ahead[inner], picture[inner]) + 5


@pytest.mark.parametrize("pose", [Pose(50, 3, 0), Pose(0, -40, 0), Pose(46, 34, 0)], ids=str)
def test_a_face_turned_too_far_stays_as_it_is(
    head: tuple[Picture, Detection], frontal_model: Model, pose: Pose
) -> None:
    picture, face = head
    one = seal(picture, frontal_model, Says([face]), pose=Looks(pose))
    values = sealed_numbers(one)
    assert values[11:14] == (0, 0, 0) and one.not_frontalized == 1
    assert np.allclose(np.array(values[5:11]).reshape(2, 3), align.similarity(face.landmarks, frontal_model.size))
    assert one.capture.public_faces[0].yaw == align.round_angle(pose.yaw)
    plain = seal(picture, replace(frontal_model, frontalize=False), Says([face]), pose=Looks(pose))
    assert sealed_numbers(plain)[11:14] == (pose.yaw, pose.pitch, pose.roll) and plain.not_frontalized == 0
    assert np.array_equal(open_exact(one.capture, one.image, 0, one.face_key(0)), picture)


def test_a_fake_needs_no_sealed_angle(head: tuple[Picture, Detection], frontal_model: Model) -> None:
    """The same public numbers give the same fake, whatever the exact angles were."""
    picture, face = head
    one = seal(picture, frontal_model, Says([face]), pose=Looks(Pose(30.4, -1.2, 0.7)))
    blank = replace(one.capture.faces[0], geometry=bytes(len(one.capture.faces[0].geometry)))
    other = replace(one.capture, faces=(blank,))
    shown = fake(one.capture, one.image, 0.5, frontal_model)
    assert np.array_equal(shown, fake(other, one.image, 0.5, frontal_model))
