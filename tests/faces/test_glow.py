"""Every layer of the flow through one check: its inverse, and its log-determinant against autograd's Jacobian."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ffem_chain.faces.flow.glow import ActNorm, Conv1x1, Coupling, Glow, GlowConfig, Split, Step, ZeroConv
from ffem_chain.faces.training.data import dequantise
from ffem_chain.faces.training.train import learning_rate

Forward = Callable[[Tensor], tuple[Tensor, Tensor]]
CONFIG = GlowConfig(size=8, levels=2, steps=2, hidden=5)


def check_flow(forward: Forward, inverse: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """`forward` (B, ...) -> (any shape of as many coordinates a sample, log|det| (B,)) is invertible as it claims."""
    y, log_det = forward(x)
    assert log_det.shape == (len(x),)
    assert not torch.allclose(y.reshape(-1), x.reshape(-1), atol=1e-3), "the identity proves nothing"
    torch.testing.assert_close(inverse(y), x, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(forward(inverse(y))[0], y, rtol=1e-6, atol=1e-8)
    for one, claimed in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: forward(v[None])[0][0], one, vectorize=True)
        n = one.numel()
        _, measured = torch.linalg.slogdet(jacobian.reshape(n, n))
        torch.testing.assert_close(claimed, measured, rtol=1e-6, atol=1e-7)


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """float64, with random parameters: layers that start as the identity would hide their mistakes."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", [lambda: ActNorm(6), lambda: Conv1x1(6), lambda: Coupling(6, 7), lambda: Step(6, 7)])
def test_layer(make: Callable[[], nn.Module], seed: int) -> None:
    torch.manual_seed(seed)
    layer = lively(make(), seed)
    check_flow(layer, layer.inverse, noise(2, 6, 3, 3))


def test_split() -> None:
    layer = lively(Split(6))

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        kept, out, log_det = layer(x)
        return torch.cat([kept, out], dim=1), log_det

    check_flow(forward, lambda y: layer.inverse(*y.chunk(2, dim=1)), noise(2, 6, 3, 3))


def test_whole_flow() -> None:
    torch.manual_seed(0)
    flow = lively(Glow(CONFIG))
    check_flow(flow, flow.decode, 0.5 + 0.2 * noise(2, 3, 8, 8))


@torch.no_grad()
def test_zero_convolution_starts_every_coupling_and_split_as_the_identity() -> None:
    x = noise(1, 4, 3, 3).float()
    assert not ZeroConv(4, 6)(x).any()
    y, log_det = Coupling(4, 5)(x)
    assert torch.equal(y, x)
    assert float(log_det) == 0
    kept, out, log_det = Split(4)(x)
    assert torch.equal(torch.cat([kept, out], dim=1), x)
    assert float(log_det) == 0
    assert lively(ZeroConv(4, 6))(x.double()).abs().min() > 0


def test_actnorm_normalises_the_first_batch_only_while_training() -> None:
    layer, x = ActNorm(3), 4 + 3 * noise(5, 3, 4, 4).float()
    assert torch.equal(layer.eval()(x)[0], x)
    y, _ = layer.train()(x)
    assert y.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (y.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-4
    before = layer.bias.clone()
    layer(x + 100)
    assert torch.equal(layer.bias, before)


def test_scales_are_bounded() -> None:
    layer = lively(Coupling(4, 5))
    with torch.no_grad():
        layer.leave.conv.weight.mul_(1e6)
    log_scale, _ = layer._scale_shift(noise(1, 2, 3, 3), None)
    assert log_scale.abs().max() <= Coupling.BOUND + 1e-12


def test_bits_per_dimension_of_a_known_density() -> None:
    """The identity flow on N(0, 1): the entropy of a Gaussian in bits, plus the 8 bits of the grey levels."""
    flow = Glow(CONFIG).eval()
    torch.manual_seed(1)
    x = 0.5 + torch.randn(200, 3, 8, 8)
    with torch.no_grad():
        for module in flow.modules():
            if isinstance(module, Conv1x1):
                assert abs(float(module.log_diagonal.sum())) < 1e-5  # a rotation
        bits = float(flow.bits_per_dimension(x).mean())
    entropy = 0.5 * torch.log2(torch.tensor(2 * torch.pi * torch.e))
    assert abs(bits - 8 - float(entropy)) < 0.02


def test_latents_lie_level_by_level() -> None:
    slices = Glow(CONFIG).level_slices
    assert slices == [slice(0, 96), slice(96, 192)]
    assert slices[-1].stop == CONFIG.dimensions == 192


def test_config_refuses_sides_that_do_not_halve() -> None:
    with pytest.raises(ValueError, match="divisible"):
        GlowConfig(size=20, levels=3)


def test_training_noise_is_one_grey_level() -> None:
    x = dequantise(np.full((1, 8, 8, 3), 255, np.uint8)) * 256
    assert x.min() >= 255
    assert x.max() < 256
    assert x.std() > 0.2


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step, 1000, 1.0) for step in (0, 50, 99, 400, 750, 1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[1] < rates[2] == rates[3] == 1.0
    assert 1.0 > rates[4] > rates[5] == pytest.approx(0.02)
