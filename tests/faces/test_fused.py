"""The inference form of a flow: the same map as the one that is trained, and as invertible."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.fused import fuse
from ffem_chain.faces.flow.glow import Flow, GlowConfig
from ffem_chain.faces.flow.haar import HaarConfig
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing import align

from .support import Picture, tiny_flow

CONFIGS = {
    "glow": GlowConfig(8, 2, 2, 12),
    "one level": GlowConfig(8, 1, 2, 12),
    "haar": HaarConfig(GlowConfig(4, 1, 2, 12), steps=2, hidden=12, context=6, blocks=1),
}


@pytest.fixture(params=CONFIGS)
def flow(request: pytest.FixtureRequest) -> Flow:
    return tiny_flow(CONFIGS[request.param])


def faces(flow: Flow, count: int = 3) -> Tensor:
    return torch.rand(count, 3, flow.config.size, flow.config.size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_encodes_and_decodes_as_the_flow_does(flow: Flow) -> None:
    fused, x = fuse(flow), faces(flow)
    z = flow.encode(x)
    assert z.std() > 0.1  # not an identity that would pass anyhow
    torch.testing.assert_close(fused.encode(x), z, rtol=0, atol=1e-4)
    torch.testing.assert_close(fused.decode(z), flow.decode(z), rtol=0, atol=1e-4)


@torch.no_grad()
def test_every_parameter_of_the_flow_counts(flow: Flow) -> None:
    """A fold that forgot one would pass with weights for which it does not matter."""
    x = faces(flow, 1)
    before = fuse(flow).encode(x)
    for name, parameter in flow.named_parameters():
        kept = parameter.clone()
        parameter.add_(0.05)
        fused = fuse(flow)
        assert not torch.equal(fused.encode(x), before), name
        torch.testing.assert_close(fused.encode(x), flow.encode(x), rtol=0, atol=1e-4, msg=name)
        torch.testing.assert_close(fused.decode(fused.encode(x)), x, rtol=0, atol=1e-4, msg=name)
        parameter.copy_(kept)


@torch.no_grad()
def test_faces_of_a_batch_do_not_touch_each_other(flow: Flow) -> None:
    fused, x = fuse(flow), faces(flow)
    together = fused.encode(x)
    alone = torch.cat([fused.encode(one[None]) for one in x])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_shipped_flow_loses_nothing(model: Model, photo: Picture, detector: CenterFace) -> None:
    """Round trip in float32 of a face as the flow takes it: at least 100 dB (issue 3, 4)."""
    fused, size = fuse(model.flow), model.size
    (found,) = detector.detect(photo)
    face = torch.from_numpy(align.warp_in(photo, align.similarity(found.landmarks, size), size)).permute(2, 0, 1)[None]
    x = (face + faces(model.flow, 1)) / 256
    z = fused.encode(x)
    assert -10 * torch.log10((fused.decode(z) - x).double().square().mean()) > 100
    torch.testing.assert_close(z, model.flow.encode(x), rtol=1e-3, atol=1e-3)  # a step of 10 bits is 8e-3


def test_it_has_no_gradients_and_leaves_the_flow_alone() -> None:
    flow = tiny_flow(CONFIGS["haar"])
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    fused = fuse(flow)
    assert not any(value.requires_grad for value in (*fused.parameters(), *fused.buffers()))
    assert all(parameter.requires_grad for parameter in flow.parameters())
    for name, value in flow.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_other_modules_are_refused() -> None:
    with pytest.raises(TypeError, match="Linear"):
        fuse(nn.Linear(2, 2))  # type: ignore[arg-type]
