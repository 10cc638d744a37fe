"""Alpha compositing of samples along rays (RAE-NeRF eqs. 5-6; WildTalker eq. 3), by the best kernel for the device."""

from __future__ import annotations

from torch import Tensor

from talkhead_core.kernels import compositing_kernels, select_kernel

__all__ = ["composite"]


def composite(density: Tensor, colour: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate front to back.

    Args:
        density: ``[rays, samples]``, not negative, per unit of ``step``.
        colour: ``[rays, samples, 3]``.
        step: distance between samples, ``[rays]``.

    Returns:
        Premultiplied colour ``[rays, 3]`` and opacity ``[rays, 1]``; the pixel is ``colour + (1 - opacity) * background``.
    """
    _, kernel = select_kernel(compositing_kernels, "auto", density.device.type)
    return kernel(density, colour, step)  # type: ignore[no-any-return]
