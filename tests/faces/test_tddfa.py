"""3DDFA_V2 as a plug-in: strict loading, the angles' signs, and, where the model is in the cache, real poses."""

from __future__ import annotations

import builtins
import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ffem_chain.errors import FormatError, InputError, MissingExtra
from ffem_chain.faces import modelcache
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.posing import pose
from ffem_chain.faces.posing.tddfa import MobileNet, angles, load_network, mean_and_deviation

from .support import Picture, face_at


class Hostile:
    """Pickled, it asks to call something when it is loaded."""

    def __init__(self, call: Any, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.call, self.arguments


def parameters() -> dict[str, np.ndarray]:
    return {"mean": np.arange(62, dtype=np.float32), "std": np.ones(62, np.float32)}


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_read(protocol: int) -> None:
    mean, deviation = mean_and_deviation(pickle.dumps(parameters(), protocol=protocol))
    assert mean.tolist() == list(range(62)) and deviation.tolist() == [1] * 62


def test_arrays_by_their_old_name_are_read() -> None:
    """As numpy 1 wrote them, and the published file is."""
    data = pickle.dumps(parameters(), protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in data
    assert mean_and_deviation(data)[0][61] == 61


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "touch {path}"),
        (os.mkdir, "{path}"),
        (builtins.eval, "__import__('os').mkdir('{path}')"),
        (builtins.getattr, "", "join"),
        (np.fromfile, "/etc/passwd"),
        (np.load, "{path}"),
    ],
)
def test_a_hostile_pickle_is_refused_before_it_does_anything(call: tuple[Any, ...], tmp_path: Path) -> None:
    path = tmp_path / "made"
    function, *words = call
    hostile = Hostile(function, *(str(word).format(path=path) for word in words))
    for data in (pickle.dumps(hostile), pickle.dumps({**parameters(), "more": hostile})):
        with pytest.raises(FormatError, match="UnpicklingError"):
            mean_and_deviation(data)
    assert not path.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x03.",
        pickle.dumps(parameters())[:-40],
        pickle.dumps({"mean": np.zeros(62)}),
        pickle.dumps({"mean": np.zeros(61), "std": np.zeros(62)}),
        pickle.dumps({"mean": "x" * 62, "std": np.zeros(62)}),
        pickle.dumps([1, 2]),
    ],
)
def test_other_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="parameters of 3ddfa"):
        mean_and_deviation(data)


def saved(state: Any) -> io.BytesIO:
    out = io.BytesIO()
    torch.save(state, out)
    return out


def test_weights_are_loaded_as_published(tmp_path: Path) -> None:
    network, path = MobileNet().eval(), tmp_path / "net.pth"
    state = OrderedDict((f"module.{name}", value) for name, value in network.state_dict().items())
    state["module.fc_lm.weight"] = torch.zeros(136, 512)
    path.write_bytes(saved({"epoch": 1, "state_dict": state}).getvalue())
    x = torch.rand(2, 3, 120, 120, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(load_network(path)(x), network(x))
        assert network(x).shape == (2, 62)
    assert sum(value.numel() for value in network.parameters()) == 850_398


@pytest.mark.parametrize(
    "state",
    [
        {"state_dict": {}},
        {},
        {"state_dict": {"module.conv1.weight": torch.zeros(1)}},
        {"state_dict": Hostile(os.system, "true")},
        [],
    ],
)
def test_other_weights_are_refused(state: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(saved(state).getvalue())
    with pytest.raises(FormatError, match="weights of 3ddfa") as caught:
        load_network(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("yaw", [-60, 0, 25])
@pytest.mark.parametrize("pitch", [-20, 0, 35])
@pytest.mark.parametrize("roll", [-120, 0, 40])
def test_angles_are_those_of_a_rotated_head(yaw: int, pitch: int, roll: int) -> None:
    """A head whose nose points to +z, turned by three rotations about fixed axes (x right, y up, z to the viewer)."""
    a, b, c = np.radians((yaw, -pitch, -roll))  # right is to +x, up to +y, clockwise against y up
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turned = about_z @ about_y @ about_x
    nose, crown, right = turned @ [0, 0, 1], turned @ [0, 1, 0], turned @ [1, 0, 0]
    if roll == 0:
        assert np.sign(nose[0]) == np.sign(yaw) or abs(nose[0]) < 1e-9
        assert np.sign(nose[1]) == np.sign(pitch) or abs(nose[1]) < 1e-9
    elif yaw == 0:
        assert np.sign(crown[0]) == np.sign(roll)  # clockwise: the crown goes to the right
    assert np.degrees(np.arctan2(-right[1], right[0])) == pytest.approx(roll)
    found = angles(np.column_stack([0.004 * turned, [60, 70, 0]]))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, roll))
    assert found.mesh is None


def test_a_projection_of_nothing_is_no_error() -> None:
    assert np.isfinite([angles(np.zeros((3, 4))).yaw, angles(np.zeros((3, 4))).pitch]).all()


def test_estimators_by_name(tmp_path: Path) -> None:
    five = pose.pose_estimator("landmarks")
    face = face_at(10, 10, 80)
    assert five.name == "landmarks" and abs(five.estimate(np.zeros((200, 200, 3), np.uint8), face).yaw) < 3
    with pytest.raises(InputError, match="no pose estimator 'guess'") as caught:
        pose.pose_estimator("guess")
    assert all(name in caught.value.hint for name in pose.NAMES)
    with pytest.raises(MissingExtra, match="3ddfa"):
        pose.pose_estimator("3ddfa", tmp_path)


def test_poses_of_a_real_face(photo: Picture, detector: CenterFace) -> None:
    """Mirrored, turned in the picture, at the rim and enlarged."""
    if modelcache.state(modelcache.known("3ddfa")) != "ok":
        pytest.skip("the model 3ddfa is not on this machine")
    estimator = pose.pose_estimator("3ddfa")

    def of(picture: Picture) -> pose.Pose:
        return estimator.estimate(picture, detector.detect(picture)[0])

    plain, mirrored = of(photo), of(np.ascontiguousarray(photo[:, ::-1]))
    assert (plain.yaw, plain.roll) == pytest.approx((-mirrored.yaw, -mirrored.roll), abs=3)
    assert plain.pitch == pytest.approx(mirrored.pitch, abs=3)
    turned = cv2.warpAffine(photo, cv2.getRotationMatrix2D((225, 115), -20, 1), (512, 512))
    assert of(turned).roll - plain.roll == pytest.approx(20, abs=4)
    large = cv2.resize(photo, (1536, 1536), interpolation=cv2.INTER_CUBIC)
    assert of(large).yaw == pytest.approx(plain.yaw, abs=3)
