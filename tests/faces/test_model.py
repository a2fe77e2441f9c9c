"""The weights that are shipped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from ffem_chain.errors import FormatError, InputError
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.dither import dither
from ffem_chain.faces.flow.glow import Glow, GlowConfig
from ffem_chain.faces.flow.haar import HaarConfig, HaarGlow
from ffem_chain.faces.flow.refine import Refiner, RefinerConfig
from ffem_chain.faces.flow.weights import DEFAULT_MODEL, Model, load_bytes, load_model, radius_ratio
from ffem_chain.faces.flow.weightsfile import FEATURES, dump, from_checkpoints
from ffem_chain.faces.posing import align
from ffem_chain.faces.training.data import dequantise
from ffem_chain.keys.secret import Secret

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
        bits = float(model.flow.bits_per_dimension(dequantise(face)))
    assert bits < 5
    assert model.steps >= 1000
    assert len(model.model_id) == 32


def test_coordinates_that_no_face_has_give_a_picture(model: Model) -> None:
    wild = np.zeros((3, 3 * model.size**2))
    wild[0], wild[1], wild[2] = 1e30, np.nan, np.inf
    faces = model.decode(wild)
    assert faces.shape == (3, model.size, model.size, 3)
    assert faces.dtype == np.uint8


@pytest.mark.parametrize("name", ["ffem-64", "ffem-128"])
def test_temper_cools_fine_levels_more_but_for_details(name: str) -> None:
    model = load_model(name)
    tempered = model.temper(np.ones(3 * model.size**2), 0.5)
    levels = [float(tempered[where].mean()) for where in model.flow.level_slices]
    if isinstance(model.flow, HaarGlow):
        assert levels.pop(0) == 1
    assert levels == sorted(levels)
    assert levels[0] < levels[-1] == 0.5
    assert not model.temper(np.ones(3 * model.size**2), 0.0).any()


def test_models_are_found_by_name() -> None:
    assert load_model() is load_model(DEFAULT_MODEL)
    with pytest.raises(InputError, match="no model nothing") as caught:
        load_model("nothing")
    assert "ffem-64" in caught.value.hint


def lively(module: nn.Module, scale: float = 0.1) -> nn.Module:
    """Random weights: layers that start as the identity would hide what is lost."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module.eval()


def tiny_haar() -> HaarGlow:
    flow = lively(HaarGlow(HaarConfig(GlowConfig(8, 2, 2, 4), steps=2, hidden=4, context=3, blocks=1)))
    assert isinstance(flow, HaarGlow)
    return flow


def test_a_file_keeps_the_flow_its_steps_and_its_features() -> None:
    glow = lively(Glow(GlowConfig(8, 2, 2, 4)))
    data = dump(glow, 7, features=("keyed-dither",))
    loaded = load_bytes(data, "tiny")
    assert (loaded.steps, loaded.size, loaded.keyed_dither, loaded.frontalize) == (7, 8, True, False)
    assert loaded.model_id == hashlib.sha256(data).digest()
    x = torch.rand(2, 3, 8, 8)
    assert (loaded.flow.encode(x) - glow.encode(x)).abs().max() < 0.05  # float16 weights
    torch.testing.assert_close(loaded.flow.decode(loaded.flow.encode(x)), x, rtol=0, atol=1e-4)


def test_a_flow_of_two_parts_and_its_refiner_are_put_together(tmp_path: Path) -> None:
    flow, refiner = tiny_haar(), lively(Refiner(RefinerConfig((4, 4), 1)))
    parts = {"base": flow.base, "details": flow.detail, "refiner": refiner}
    configs = {"base": flow.config.base, "details": flow.config, "refiner": refiner.config}
    paths = {name: tmp_path / name for name in parts}
    for name, part in parts.items():
        torch.save({"config": configs[name].to_dict(), "average": part.state_dict(), "step": 3}, paths[name])
    loaded = load_bytes(from_checkpoints(FEATURES, None, paths["base"], paths["details"], paths["refiner"]), "tiny")
    assert (loaded.size, loaded.steps, loaded.frontalize, loaded.keyed_dither) == (16, 3, True, True)
    x = torch.rand(2, 3, 16, 16)
    assert (loaded.flow.encode(x) - flow.encode(x)).abs().max() < 0.1
    z = np.random.default_rng(0).standard_normal((2, 3 * 16 * 16))
    drawn = loaded.draw(z, 0.7)
    assert drawn.shape == (2, 16, 16, 3)
    assert np.array_equal(drawn, loaded.draw(z, 0.7))
    assert not np.array_equal(drawn, loaded.decode(loaded.temper(z, 0.7))), "the refiner did nothing"


def test_damaged_weights_are_refused() -> None:
    data = dump(Glow(GlowConfig(8, 2, 2, 4)), 1)
    for bad in (b"", data[:7], data[:100], data[:-1], b"\xff" * 64, data.replace(b"levels", b"leveis")):
        with pytest.raises(FormatError, match="damaged"):
            load_bytes(bad, "tiny")
    with pytest.raises(FormatError, match="another version"):
        load_bytes(data.replace(b"steps.0.0.norm.bias", b"steps.0.0.norm.bygs"), "tiny")
    other = dump(tiny_haar(), 1)
    with pytest.raises(FormatError, match="another version"):
        load_bytes(other.replace(b'"haar"', b'"hear"'), "tiny")


def test_pixels_come_back_exactly_where_the_noise_is_known(model: Model, face: NDArray[np.uint8]) -> None:
    noise = dither(Secret.random(), model.size)[None]
    latents = model.encode(face, noise)
    assert np.array_equal(model.decode(latents, noise), face)
    off = latents + 0.0007 * np.random.default_rng(2).standard_normal(latents.shape)  # as 12 bits do
    known, unknown = (float(np.mean(model.decode(off, taken) != face)) for taken in (noise, None))
    assert 10 * known < unknown


def test_dither_is_uniform_and_the_keys_own() -> None:
    key = Secret(bytes(range(32)))
    noise = dither(key, 64)
    assert np.array_equal(noise, dither(key, 64))
    assert not np.array_equal(noise, dither(Secret(bytes(32)), 64))
    assert noise.min() > 0 and noise.max() < 1
    assert abs(float(noise.mean()) - 0.5) < 0.01 and abs(float(noise.std()) - 12**-0.5) < 0.01
    # every machine draws the same
    assert hashlib.sha256(noise.astype("<f4").tobytes()).hexdigest().startswith("0e14172ab1d31802")
