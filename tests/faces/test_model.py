"""The weights that are shipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ffem_chain.errors import FormatError, InputError
from ffem_chain.faces import align
from ffem_chain.faces.detect import CenterFace
from ffem_chain.faces.glow import Glow, GlowConfig
from ffem_chain.faces.train import dequantise, start_from, validate
from ffem_chain.faces.weights import Model, export, load_bytes, load_model, radius_ratio

from .support import Picture, psnr


@pytest.fixture(scope="module")
def face(photo: Picture, detector: CenterFace, model: Model) -> NDArray[np.uint8]:
    """(1, m, m, 3), a real face as the flow takes it."""
    (found,) = detector.detect(photo)
    return align.warp_in(photo, align.similarity(found.landmarks, model.size), model.size)[None]


def test_decoding_undoes_encoding(model: Model, face: NDArray[np.uint8]) -> None:
    decoded = model.decode(model.encode(face))
    # the noise of one grey level is floored away; rounding may cross a level
    assert np.abs(decoded.astype(int) - face).max() <= 1
    assert psnr(decoded, face) > 55


def test_decoding_undoes_encoding_of_what_is_no_face(model: Model, face: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, face.shape, dtype=np.uint8)
    for picture in (noise, np.zeros_like(face), np.full_like(face, 255)):
        assert psnr(model.decode(model.encode(picture)), picture) > 40


def test_a_real_face_has_about_the_norm_of_a_gaussian(model: Model, face: NDArray[np.uint8]) -> None:
    """1.00 on faces like those of training (MODEL_CARD.md); this one is sharper than those, noise is far off."""
    noise = np.random.default_rng(0).integers(0, 256, face.shape, dtype=np.uint8)
    ratio = radius_ratio(model.encode(face)[0])
    assert 0.8 < ratio < 2
    assert radius_ratio(model.encode(noise)[0]) > 2 * ratio


def test_faces_of_the_flow_itself_have_the_norm_that_they_were_drawn_with(model: Model) -> None:
    z = 0.7 * np.random.default_rng(3).standard_normal((4, 3 * model.size**2))
    ratios = [radius_ratio(latent) for latent in model.encode(model.decode(z))]
    assert all(0.7 < ratio < 1.15 for ratio in ratios)


def test_encoding_draws_fresh_noise(model: Model, face: NDArray[np.uint8]) -> None:
    first, second = model.encode(face)[0], model.encode(face)[0]
    assert not np.array_equal(first, second)
    assert np.corrcoef(first, second)[0, 1] > 0.5


def test_the_shipped_flow_is_a_trained_one(model: Model, face: NDArray[np.uint8]) -> None:
    """Bits per subpixel on a real face that it never saw: 8 is what an untrained identity would need at best."""
    with torch.no_grad():
        bits = float(model.glow.bits_per_dimension(dequantise(face)))
    assert bits < 5
    assert model.steps >= 6000
    assert len(model.model_id) == 32


def test_coordinates_that_no_face_has_give_a_picture(model: Model) -> None:
    wild = np.zeros((3, 3 * model.size**2))
    wild[0], wild[1], wild[2] = 1e30, np.nan, np.inf
    faces = model.decode(wild)
    assert faces.shape == (3, model.size, model.size, 3)
    assert faces.dtype == np.uint8


def test_temper_cools_fine_levels_more(model: Model) -> None:
    tempered = model.temper(np.ones(3 * model.size**2), 0.5)
    levels = [float(tempered[where].mean()) for where in model.glow.level_slices]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1] == 0.5
    assert not model.temper(np.ones(3 * model.size**2), 0.0).any()


def test_models_are_found_by_name() -> None:
    assert load_model() is load_model("ffem-64")
    with pytest.raises(InputError, match="no model nothing") as caught:
        load_model("nothing")
    assert "ffem-64" in caught.value.hint


def _checkpoint(folder, glow: Glow):
    path = folder / "checkpoint.pt"
    torch.save({"config": glow.config.to_dict(), "average": glow.state_dict(), "step": 3, "trained": 4}, path)
    return path


def test_export_keeps_the_flow_and_its_steps(tmp_path) -> None:
    torch.manual_seed(0)
    glow = Glow(GlowConfig(8, 2, 2, 4)).eval()
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    out = tmp_path / "made" / "tiny.safetensors"
    name = export(_checkpoint(tmp_path, glow), out)
    loaded = load_bytes(out.read_bytes(), "tiny")
    assert (loaded.model_id.hex(), loaded.steps, loaded.size) == (name, 7, 8)
    x = torch.rand(2, 3, 8, 8)
    assert (loaded.glow.encode(x) - glow.encode(x)).abs().max() < 0.05  # float16 weights
    torch.testing.assert_close(loaded.glow.decode(loaded.glow.encode(x)), x, rtol=0, atol=1e-4)


def test_damaged_weights_are_refused(tmp_path) -> None:
    out = tmp_path / "tiny.safetensors"
    export(_checkpoint(tmp_path, Glow(GlowConfig(8, 2, 2, 4))), out)
    data = out.read_bytes()
    for bad in (b"", data[:7], data[:100], data[:-1], b"\xff" * 64, data.replace(b"levels", b"leveis")):
        with pytest.raises(FormatError, match="damaged"):
            load_bytes(bad, "tiny")
    with pytest.raises(FormatError, match="another version"):
        load_bytes(data.replace(b"steps.0.0.norm.bias", b"steps.0.0.norm.bygs"), "tiny")


def test_training_goes_on_from_what_is_shipped(model: Model, face: NDArray[np.uint8]) -> None:
    """One step from the shipped weights lowers the loss on its batch, and an untrained flow's loss is higher."""
    glow, steps = start_from("ffem-64")
    assert steps == model.steps
    torch.manual_seed(0)
    x = dequantise(face)
    optimiser = torch.optim.Adam(glow.train().parameters(), lr=1e-5)
    before = glow.bits_per_dimension(x).mean()
    before.backward()
    optimiser.step()
    assert float(glow.bits_per_dimension(x).mean().detach()) < float(before.detach())
    pair = np.concatenate([face, face])
    assert validate(model.glow, pair)["bits"] < validate(Glow(model.glow.config), pair)["bits"]
