"""Compositing: known answers, and every kernel against the torch reference."""

from __future__ import annotations

import math

import pytest
import torch

from talkhead_core.kernels import compositing_kernels
from talkhead_core.rendering.volume_compositing import composite
from tests.test_kernels import DEVICE, assert_same, kernel, others, values_and_gradients


def test_a_uniform_medium_follows_beer_and_lambert() -> None:
    density, step = torch.full((1, 50), 0.3), torch.tensor([0.1])
    colour = torch.tensor([0.2, 0.5, 0.9]).expand(1, 50, 3)
    rendered, opacity = composite(density, colour, step)
    wanted = 1 - math.exp(-0.3 * 50 * 0.1)
    assert opacity.item() == pytest.approx(wanted, abs=1e-6)
    torch.testing.assert_close(rendered[0], wanted * torch.tensor([0.2, 0.5, 0.9]), rtol=0, atol=1e-6)


def test_what_is_opaque_in_front_hides_what_is_behind() -> None:
    density = torch.tensor([[0.0, 1e4, 1e4]])
    colour = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    rendered, opacity = composite(density, colour, torch.ones(1))
    torch.testing.assert_close(rendered, torch.tensor([[0.0, 1.0, 0.0]]))
    assert opacity.item() == 1.0


def test_an_empty_ray_is_clear() -> None:
    rendered, opacity = composite(torch.zeros(2, 3), torch.ones(2, 3, 3), torch.ones(2))
    assert not rendered.any()
    assert not opacity.any()


@pytest.mark.parametrize(("rays", "samples"), [(0, 3), (1, 1), (5, 2), (131, 3), (1001, 16)])
@pytest.mark.parametrize("name", others(compositing_kernels))
def test_compositing_kernels_agree_with_the_reference(name: str, rays: int, samples: int) -> None:
    generator = torch.Generator().manual_seed(samples)
    density = torch.exp(3 * torch.randn(rays, samples, generator=generator))  # from clear to opaque
    colour = torch.rand(rays, samples, 3, generator=generator)
    step = torch.rand(rays, generator=generator)
    inputs, device = [density, colour], DEVICE[name]
    wanted = values_and_gradients(lambda d, c: compositing_kernels.get("torch")(d, c, step), inputs, "cpu")
    measured = values_and_gradients(lambda d, c: kernel(compositing_kernels, name)(d, c, step.to(device)), inputs, device)
    assert_same(measured[0], wanted[0])
    assert_same(measured[1], wanted[1], tolerance=1e-5)


def test_the_reference_gradient_is_that_of_finite_differences() -> None:
    density = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    colour = torch.rand(4, 3, 3, dtype=torch.float64, requires_grad=True)
    step = torch.rand(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda d, c: compositing_kernels.get("torch")(d, c, step), (density, colour))
