"""Recognisers as plug-ins: families of ONNX files, and networks of the pinned package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ffem_chain.errors import FormatError, MissingExtra
from ffem_cli.eval.recognisers import ARCFACE, FAMILIES, GRAPHS, OnnxRecogniser, open_recogniser
from tests.support.onnxfile import thumbnails

RNG = np.random.default_rng(7)
FILES = {
    "arcface": thumbnails(),
    "cosface": thumbnails(),
    "facenet": thumbnails(160, 20),
    "sphereface": thumbnails(112, 16, width=96),
}


@pytest.mark.parametrize("family", FILES)
def test_each_family_takes_faces_its_own_way(tmp_path: Path, family: str) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(FILES[family])
    network, known = open_recogniser(f"{family}:{file}"), FAMILIES[family]
    face = RNG.integers(0, 256, (network.size, network.size, 3), np.uint8)
    (vector,) = network.embed([face])
    # by hand: the middle 96 columns and blue first for SphereFace, means over windows of 14, 20 or 16 px
    part = face[:, 8:104, ::-1] if family == "sphereface" else face
    window = {"facenet": 20, "sphereface": 16}.get(family, 14)
    rows, columns = (length // window for length in part.shape[:2])
    means = part.reshape(rows, window, columns, window, 3).mean(axis=(1, 3)) - 127.5
    expected = means.transpose(2, 0, 1).ravel()
    assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-4)
    assert network.size == (160 if family == "facenet" else 112)
    assert network.template.shape == (5, 2) and (network.template > 0).all() and (network.template < known.size).all()


def test_one_file_in_two_families_is_two_recognisers(tmp_path: Path) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(thumbnails())
    plain, other = open_recogniser(str(file)), open_recogniser(f"cosface:{file}")
    assert plain.digest != other.digest, "or the cache would mix their vectors"
    assert np.array_equal(plain.template, ARCFACE)
    with pytest.raises(FormatError, match="160 x 160"):
        OnnxRecogniser(file, "facenet")


def test_channels_may_be_last(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Transpose", ["face"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["first"], ["means"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["means"], ["vector"]),
    ]
    given = helper.make_tensor_value_info("face", kind, (1, 112, 112, 3))
    made = helper.make_tensor_value_info("vector", kind, (1, 192))
    model = helper.make_model(
        helper.make_graph(nodes, "last", [given], [made]), opset_imports=[helper.make_opsetid("", 13)]
    )
    for name, data in (("last", model.SerializeToString()), ("first", thumbnails())):
        (tmp_path / f"{name}.onnx").write_bytes(data)
    face = RNG.integers(0, 256, (112, 112, 3), np.uint8)
    last, first = (OnnxRecogniser(tmp_path / f"{name}.onnx").embed([face]) for name in ("last", "first"))
    assert np.allclose(last, first, atol=1e-5)


def test_a_network_that_was_not_fetched_is_named_with_the_command(tmp_path: Path) -> None:
    for name in GRAPHS:
        with pytest.raises(MissingExtra) as caught:
            open_recogniser(name, tmp_path)
        assert name in caught.value.message and "ffem eval networks" in caught.value.hint


def test_sphereface_is_the_middle_of_arcface() -> None:
    """Liu et al. publish their template for 96 x 112 px: eyes at 30.2946 and 65.5318."""
    assert np.allclose(FAMILIES["sphereface"].template[:2, 0] - 8, [30.2946, 65.5318])
