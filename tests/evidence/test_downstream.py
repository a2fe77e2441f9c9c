"""Tasks on covered pictures: how results are compared, how covers look, and the section on one photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from ffem_chain.errors import InputError, MissingExtra
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.sealing import Camera
from ffem_cli.eval.tfjs import Network
from ffem_cli.evidence import downstream
from ffem_cli.evidence.downstream.clips import clips, frames
from ffem_cli.evidence.downstream.covering import BLOCKS, Shower
from ffem_cli.evidence.downstream.measuring import share
from ffem_cli.evidence.downstream.tasks import Bodies, Persons, body, persons
from ffem_cli.evidence.setting import Setting

Picture = NDArray[np.uint8]


class Renamed(CenterFace):
    """The camera's detector under another name: faces are counted by one that did not seal them."""

    name = "renamed"


def photo(side: int = 256) -> Picture:
    whole = np.asarray(astronaut(), np.uint8)  # type: ignore[no-untyped-call]
    return np.asarray(cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


class Colours:
    """Stands where a person detector does: a person is what is red, of any size; a dog what is green."""

    digest, shape = "colours", (1, 512, 512, 3)

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        rows = []
        for kind, channel in ((0, 0), (16, 1)):
            marked = ((batch[0, :, :, channel] > 200) & (batch[0, :, :, 2] < 99)).astype(np.uint8)
            count, _, stats, _ = cv2.connectedComponentsWithStats(marked)
            for x, y, w, h, _ in stats[1:count].tolist():
                rows += [[x, y, x + w, y + h, 0.9, kind], [x + 1, y, x + w, y + h, 0.4, kind], [x, y, x + w, y, 0.1, 0]]
        return {"tower_0/detections": np.array([rows], np.float32)}


class Brightest:
    """Stands where a body network does: its first seven points are the bluest spot, of the others it is unsure."""

    digest, shape = "brightest", (1, 192, 192, 3)

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        y, x = np.unravel_index(int(batch[0, :, :, 2].argmax()), (192, 192))
        points = np.tile(np.array([(y + 0.5) / 192, (x + 0.5) / 192, 0.1], np.float32), (17, 1))
        points[:7, 2] = 0.8
        return {"points": points[None, None]}


def scene(spot: tuple[int, int]) -> Picture:
    """A red person of 60 x 200 px at (100, 50) with a blue spot on it, and a green dog."""
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[50:250, 100:160] = (255, 0, 0)
    picture[200:250, 300:380] = (0, 255, 0)
    cv2.circle(picture, spot, 6, (255, 0, 255), -1)
    return picture


def test_persons_are_in_the_pictures_own_pixels() -> None:
    (found,) = persons(cast(Network, Colours()), scene((130, 2)))
    assert found.box == pytest.approx((100, 50, 160, 250), abs=1.5) and found.score == pytest.approx(0.9)
    task = Persons(cast(Network, Colours()))
    moved = np.roll(scene((130, 2)), 40, axis=1)
    assert task.compare(task.look(scene((130, 2))), scene((130, 2))) == (1, 1, 1)
    assert task.compare(task.look(scene((130, 2))), moved) == (0, 1, 1)  # IoU 0.2
    assert task.compare([], np.zeros((300, 400, 3), np.uint8)) == (0, 0, 0)


@pytest.mark.parametrize("spot", [(130, 80), (110, 240)])
def test_points_are_in_the_pictures_own_pixels(spot: tuple[int, int]) -> None:
    found = body(cast(Network, Brightest()), scene(spot), (100, 50, 160, 250))
    assert np.hypot(*(found[0, :2] - spot)) < 8


def test_points_that_stay() -> None:
    task = Bodies(cast(Network, Colours()), cast(Network, Brightest()))
    reference = task.look(scene((130, 80)))
    values = [dict(zip(task.fields, task.compare(reference, scene((130, y))), strict=True)) for y in (80, 92, 120)]
    for kept, value in zip((True, True, False), values, strict=True):  # a tenth of 200 px
        assert (value["points_head"], value["points_arms"], value["points_legs"]) == (5, 2, 0)
        assert (value["kept_head"], value["kept_arms"]) == ((5, 2) if kept else (0, 0))


def test_shares() -> None:
    hits, trials = np.array([3.0, 1, 0, 0]), np.array([4.0, 1, 0, 5])
    found = share(hits, trials, ["a", "a", "b", "c"])
    assert (found["value"], found["n"], found["clusters"]) == (0.4, 10, 2)
    assert found["ci95"] == (0, 0.8)  # all of c, or all of a
    assert share(trials, trials, list("abcd"))["ci95"] == (pytest.approx(0.025 ** (1 / 3)), 1)
    assert share(hits * 0, trials * 0, list("abcd"))["value"] is None
    assert share(np.array([6.0]), np.array([4.0]), ["a"], bounded=False)["value"] == 1.5


def test_covers() -> None:
    camera = Camera(load_model("ffem-64"), CenterFace())
    picture = photo()
    shown = Shower(camera, 0.45, 1).shown(picture, "photo")
    assert (shown["original"] == picture).all()
    changed = {name: (one != picture).any(axis=2) for name, one in shown.items()}
    ys, xs = np.nonzero(changed["I_enc"])
    top, bottom, left, right = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    assert 40 < bottom - top < 160 and 40 < right - left < 160
    inside = np.zeros((256, 256), bool)
    inside[top:bottom, left:right] = True
    assert not (changed["pixelated"] & ~inside).any()
    square = shown["pixelated"][top:bottom, left:right].reshape(-1, 3)
    assert BLOCKS < len(np.unique(square, axis=0)) <= BLOCKS**2
    assert changed["fake"][inside].mean() > 0.5 and changed["jpeg"].mean() > 0.5
    with pytest.raises(InputError, match="no cover 'wax'"):
        Shower(camera, 0.45, 1).shown(picture, "photo", ["wax"])


def movie(path: Path, pictures: Sequence[Picture]) -> None:
    """A clip, as Motion JPEG where the container takes it."""
    height, width = pictures[0].shape[:2]
    out = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
    for picture in pictures:
        out.write(picture[:, :, ::-1])
    out.release()


def test_frames_of_a_clip(tmp_path: Path) -> None:
    movie(tmp_path / "a.avi", [np.full((64, 64, 3), 20 * number, np.uint8) for number in range(10)])
    assert clips(tmp_path) == [tmp_path / "a.avi"]
    assert len(frames(tmp_path / "a.avi")) == 10
    means = [float(frame.mean()) / 20 for frame in frames(tmp_path / "a.avi", 5)]
    assert means == pytest.approx([1, 3, 5, 7, 9], abs=0.3)
    (tmp_path / "b.avi").write_bytes(b"RIFF")
    with pytest.raises(InputError, match="no clip"):
        frames(tmp_path / "b.avi")


def setting(folder: Path, detector: CenterFace) -> Setting:
    camera = Camera(load_model("ffem-64"), detector)
    return Setting(folder, camera, folder / "models", Cache(folder / "cache"), lambda _what, _done: None, small=True)


def test_section(tmp_path: Path) -> None:
    for name in ("group", "widerface", "video"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "group" / "1.png"), photo()[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "widerface" / "1.png"), np.full((128, 128, 3), 90, np.uint8))
    movie(tmp_path / "video" / "a.avi", [photo(192)] * 2)
    with pytest.raises(MissingExtra, match="second face detector"):
        downstream.measure(setting(tmp_path, CenterFace()))
    result = downstream.measure(setting(tmp_path, Renamed()))
    task = "faces by centerface"
    sets: dict[str, Any] = dict(result.data["sets"])
    assert sets["all"]["jpeg"][task]["large"]["ratio"] == {"value": 1.0, "ci95": (1.0, 1.0), "n": 3, "clusters": 2}
    assert sets["group"]["fake"][task]["same"]["value"] == 1
    assert sets["all"]["I_enc"][task]["large"]["ratio"]["value"] == 0
    assert sets["widerface"]["fake"][task]["large"]["ratio"]["value"] is None
    assert "persons and bodies" in result.data["missing"]
    (claim,) = result.claims
    assert claim.holds and result.record["video"]["frames"] == 2
