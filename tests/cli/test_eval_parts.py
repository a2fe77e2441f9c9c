"""Parts of `ffem eval`: recognisers, data sets, the protocol, the cache."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data as pictures

from ffem_chain.errors import FormatError, InputError, MissingExtra
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval import data, protocol, samples, sealing
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.dlibnet import DlibRecogniser
from ffem_cli.eval.recognisers import ARCFACE, OnnxRecogniser, crop, crop_square, open_recogniser
from tests.support.onnxfile import thumbnails

RNG = np.random.default_rng(5)


@pytest.fixture
def network(tmp_path: Path) -> OnnxRecogniser:
    file = tmp_path / "thumbnails.onnx"
    file.write_bytes(thumbnails())
    return OnnxRecogniser(file)


def make(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((24, 24, 3), value, np.uint8))


def test_an_onnx_file_gives_unit_vectors(network: OnnxRecogniser) -> None:
    faces = [RNG.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(3)]
    found = network.embed(faces)
    for face, vector in zip(faces, found, strict=True):
        means = ((face.astype(float) - 127.5) / 127.5).reshape(8, 14, 8, 14, 3).mean(axis=(1, 3))
        expected = means.transpose(2, 0, 1).ravel()
        assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-4)
    assert network.embed([]).size == 0
    assert network.name == "thumbnails" and len(network.digest) == 64


@pytest.mark.parametrize("content", [b"", b"no network", thumbnails()[:60], thumbnails(window=112)])
def test_what_is_no_recogniser_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        OnnxRecogniser(file)
    assert "--recogniser" in caught.value.hint


def test_without_a_recogniser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in (None, "", str(tmp_path / "absent.onnx")):
        with pytest.raises(InputError) as caught:
            open_recogniser(given)
        assert "--recogniser" in caught.value.hint
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtra) as missing:
        open_recogniser("dlib")
    assert "ffem-chain[eval]" in missing.value.hint


@pytest.mark.skipif(importlib.util.find_spec("dlib") is None, reason="the extra eval is not installed")
def test_dlib_knows_the_same_face_mirrored() -> None:
    photo, blank = np.ascontiguousarray(pictures.astronaut()), np.full((150, 150, 3), 128, np.uint8)
    network = DlibRecogniser()
    (face,) = [d for d in CenterFace().detect(photo) if d.score > 0.5]
    cut = crop(photo, face.landmarks, network)
    vectors = network.embed([cut, np.ascontiguousarray(cut[:, ::-1]), blank])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.95 > vectors[0] @ vectors[2]


def test_a_crop_puts_landmarks_where_the_template_says(network: OnnxRecogniser) -> None:
    photo, turn = np.zeros((300, 400, 3), np.uint8), np.array([[1.2, -0.5], [0.5, 1.2]])
    marks = ARCFACE @ turn.T + [120, 40]
    for x, y in marks:
        cv2.circle(photo, (round(x), round(y)), 4, (255, 255, 255), -1)
    cut = crop(photo, marks, network)
    assert cut.shape == (112, 112, 3)
    for x, y in ARCFACE:
        spot = cut[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2]
        assert spot.mean() > 200
    square = crop_square(np.full((64, 64, 3), 77, np.uint8), network)
    assert square.shape == (112, 112, 3) and (square == 77).all()


def test_data_sets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        data.pictures(tmp_path / "absent")
    with pytest.raises(InputError, match="no pictures"):
        data.pictures(tmp_path)
    make(tmp_path / "loose.png")
    with pytest.raises(InputError, match="no folders of people"):
        data.people(tmp_path)
    make(tmp_path / "Ada" / "2.jpg")
    make(tmp_path / "Ada" / "1.png")
    (tmp_path / "Ada" / "notes.txt").write_text("no picture")
    assert [(photo.name, photo.person) for photo in data.people(tmp_path)] == [
        ("Ada/1.png", "Ada"),
        ("Ada/2.jpg", "Ada"),
    ]
    before = data.describe(data.people(tmp_path))
    assert before["photos"] == 2 and before["people"] == 1
    make(tmp_path / "Ada" / "1.png", 91)
    assert data.describe(data.people(tmp_path))["sha256"] != before["sha256"]
    (tmp_path / "Ada" / "broken.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.png is no picture"):
        data.read(tmp_path / "Ada" / "broken.png")


def test_the_protocol_draws_one_probe_a_person_and_leaves_it_a_mate(tmp_path: Path) -> None:
    for person in range(9):
        for number in range(1 + person % 3):
            make(tmp_path / "people" / f"p{person}" / f"{number}.png")
    make(tmp_path / "more" / "x.png")
    split = protocol.split(tmp_path / "people", tmp_path / "more", 4, seed=1)
    assert split == protocol.split(tmp_path / "people", tmp_path / "more", 4, seed=1)
    assert split.probes != protocol.split(tmp_path / "people", None, 4, seed=2).probes
    people = [photo.person for photo in split.probes]
    assert len(people) == len(set(people)) == 4
    assert set(people) <= {photo.person for photo in split.gallery}
    assert not set(split.probes) & set(split.gallery)
    assert len(split.photos) == 18 + 1 and split.gallery[-1].person == "single/x"
    # six have two photos or more: no more can be looked for
    assert len(protocol.split(tmp_path / "people", None, 500, seed=1).probes) == 6
    with pytest.raises(InputError, match="two photos"):
        make(tmp_path / "ones" / "a" / "1.png")
        make(tmp_path / "ones" / "b" / "1.png")
        protocol.split(tmp_path / "ones", None, 4, seed=1)


def test_an_interrupted_run_goes_on_from_its_cache(tmp_path: Path) -> None:
    items = [(f"photo {at}", at) for at in range(250)]
    asked: list[int] = []
    said: list[int] = []

    def compute(at: int) -> np.ndarray:
        if at == 230 and 230 not in asked:
            asked.append(at)
            raise KeyboardInterrupt
        asked.append(at)
        return np.array([at, -at], np.float32)

    cache = Cache(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        cache.rows("x", items, compute, lambda what, done: None, model="a")
    asked.clear()
    asked.append(230)
    rows = cache.rows("x", items, compute, lambda what, done: said.append(done), model="a")
    assert rows[:, 0].tolist() == list(range(250)) and sorted(asked) == sorted([230, *range(200, 250)])
    assert said == sorted(said)
    asked.clear()
    cache.rows("x", items, compute, lambda what, done: None, model="a")
    assert asked == [], "all of it is there"
    cache.rows("x", items[:10], compute, lambda what, done: None, model="b")
    assert sorted(asked) == list(range(10)), "another model is another matter"


def test_rows_stay_in_order_whichever_thread_is_done_first(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=30)
    threads = torch.get_num_threads()

    def compute(at: int) -> np.ndarray:
        if at < 2 and (os.cpu_count() or 1) > 1:
            both.wait()  # the first two are computed at the same time, or never
        if at == 0:
            time.sleep(0.2)
        if at == 7:
            raise InputError("a damaged photo")
        return np.array([at, torch.get_num_threads()], np.float32)

    cache = Cache(tmp_path)
    rows = cache.rows("x", [(str(at), at) for at in range(6)], compute, lambda what, done: None)
    assert rows[:, 0].tolist() == list(range(6)) and set(rows[:, 1]) == {1}
    with pytest.raises(InputError, match="a damaged photo"):
        cache.rows("x", [(str(at), at) for at in range(2, 9)], compute, lambda what, done: None)
    assert torch.get_num_threads() == threads
    assert len(list(tmp_path.iterdir())) == 1, "no part of what failed"


def test_training_faces_are_split_as_training_splits_them(tmp_path: Path) -> None:
    from ffem_chain.faces.training.data import load_faces
    from ffem_chain.faces.training.data import split as of_training

    for number in range(45):
        make(tmp_path / f"{number:02}.png", number)
    found = samples.split([tmp_path])
    training, held = of_training(45)
    everything = load_faces([tmp_path], 8)
    for paths, indices in ((found.held_out, held), (found.others, training)):
        assert [int(data.read_aligned(path, 8)[0, 0, 0]) for path in paths] == everything[indices][:, 0, 0, 0].tolist()
    assert len(samples.split([tmp_path], 1).others) == 0
    chosen = samples.some(found.others, 5, seed=1)
    assert chosen == samples.some(found.others, 5, seed=1) == sorted(chosen) and len(set(chosen)) == 5


def test_sealing_in_memory_is_the_cameras(tmp_path: Path) -> None:
    photo, model = np.ascontiguousarray(pictures.astronaut()[:256, 96:352]), load_model()
    camera = sealing.Camera(model, CenterFace())
    sealed = sealing.seal(photo, "astronaut", 1, camera)
    face = sealed.subject()
    assert face is not None and abs(face.yaw) < 30
    assert 0.5 * 256 > face.box[2] - face.box[0] > 0.2 * 256
    opened, decoded = sealed.by_flow(model)
    given = sealed.given[face.index]
    assert given.shape == decoded[face.index].shape == (model.size, model.size, 3)
    assert np.abs(given.astype(int) - decoded[face.index]).mean() < 3, "the flow gives back what it was given"
    assert not np.array_equal(opened, sealed.image) and not np.array_equal(sealed.image, photo)
    assert sealed.exact_is_identical()
    changed = photo.copy()
    changed[round(face.landmarks[2, 1]), round(face.landmarks[2, 0])] ^= 1
    assert not dataclasses.replace(sealed, original=changed).exact_is_identical()
    again = sealing.seal(photo, "astronaut", 1, camera)
    assert again.keys == sealed.keys and again.capture.manifest.uid == sealed.capture.manifest.uid
    assert sealing.seal(photo, "astronaut", 2, camera).keys != sealed.keys


def test_the_subject_is_in_the_middle() -> None:
    def at(x: float, side: float) -> sealing.Detection:
        return sealing.Detection((x, 100, x + side, 100 + side), np.zeros((5, 2)), 0.9)

    aside, middle = at(10, 40), at(105, 50)
    assert sealing.central([aside, middle], (250, 250, 3)) is middle
    assert sealing.central([], (250, 250, 3)) is None
