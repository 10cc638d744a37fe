"""tiny-cuda-nn's grids as a hash kernel, held to the reference: on the real package where it loads, on its arithmetic restated anywhere."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.kernels import HashLayout, hash_kernels, select_kernel
from talkhead_core.kernels.tinycudann_layout import encoding_config, from_parameters, parameter_rows, shifted_points, to_parameters
from tests.restated_tiny_cuda_nn import Encoding
from tests.test_kernels import LAYOUTS, assert_same, random_points, values_and_gradients

_MODULE = "talkhead_core.kernels.hash_tinycudann"
PUBLISHED = {
    "talkhead": HashLayout(base_resolution=16, finest_resolution=512, log2_entries=15),
    "ER-NeRF": HashLayout(levels=12, base_resolution=64, finest_resolution=512, log2_entries=14),
    "RAE-NeRF": HashLayout(levels=14, base_resolution=64, finest_resolution=512, log2_entries=14),
}
ALL_LAYOUTS = LAYOUTS | PUBLISHED
POSITIONS = 1e-4
"""Positions are rounded once more than in the reference: 3e-5 of a cell at 512 cells, and as much of a step between two entries."""


@pytest.fixture(params=["restated", "installed"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Callable[..., Tensor], str]]:
    """The kernel over the restated arithmetic on the processor, or over the real package on the GPU, and its device."""
    if request.param == "installed":
        try:
            yield hash_kernels.get("tinycudann"), "cuda"
        except NotAvailableError as error:
            pytest.skip(str(error))
        return
    restated = types.ModuleType("tinycudann")
    restated.__spec__ = types.SimpleNamespace(name="tinycudann")  # type: ignore[assignment]
    restated.Encoding = Encoding  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinycudann", restated)
    monkeypatch.delitem(sys.modules, _MODULE, raising=False)
    yield hash_kernels.get("tinycudann"), "cpu"
    sys.modules.pop(_MODULE, None)


@pytest.mark.parametrize("samples", [0, 1, 7, 257])
@pytest.mark.parametrize("layout", ALL_LAYOUTS.values(), ids=ALL_LAYOUTS.keys())
def test_it_agrees_with_the_reference(kernel: tuple[Callable[..., Tensor], str], layout: HashLayout, samples: int) -> None:
    encode, device = kernel
    table = torch.randn(layout.entries, layout.features, generator=torch.Generator().manual_seed(3))
    points = random_points(samples)
    wanted = values_and_gradients(lambda p, t: hash_kernels.get("torch")(p, t, layout), [points, table], "cpu")
    measured = values_and_gradients(lambda p, t: encode(p, t, layout), [points, table], device)
    assert measured[0][0].shape == (layout.output_channels, samples)
    assert_same(measured[0], wanted[0], POSITIONS)
    assert_same(measured[1][1:], wanted[1][1:], POSITIONS)
    inside = _off_the_grid_lines(points, layout)  # on a line the slope of either side is right
    assert_same([measured[1][0][:, inside]], [wanted[1][0][:, inside]], POSITIONS)


def _off_the_grid_lines(points: Tensor, layout: HashLayout) -> Tensor:
    place = points.clamp(0, 1)[:, :, None] * torch.from_numpy(layout.resolutions)
    beyond = ((points < 0) | (points > 1))[:, :, None]
    return (((place - place.round()).abs() > 1e-3) | beyond).all(dim=2).all(dim=0)


def test_a_training_step_moves_the_table_alone(kernel: tuple[Callable[..., Tensor], str]) -> None:
    encode, device = kernel
    layout = LAYOUTS["both, two features"]
    table = torch.randn(layout.entries, layout.features, device=device, requires_grad=True)
    encode(torch.rand(3, 40, device=device), table, layout).square().sum().backward()
    assert table.grad is not None and (table.grad != 0).any()
    with torch.no_grad():
        assert not encode(torch.rand(3, 40, device=device), table, layout).requires_grad


@pytest.mark.parametrize("layout", ALL_LAYOUTS.values(), ids=ALL_LAYOUTS.keys())
def test_a_table_comes_back_from_tiny_cuda_nns_layout(layout: HashLayout) -> None:
    table = torch.randn(layout.entries, layout.features)
    parameters = to_parameters(table, layout)
    assert len(parameters) == len(Encoding(2 * layout.tables, encoding_config(layout), dtype=torch.float32).params)
    assert torch.equal(from_parameters(parameters, layout), table)
    rows, count = parameter_rows(layout)
    unread = torch.ones(count, dtype=torch.bool)
    unread[torch.from_numpy(rows)] = False
    assert (parameters.view(count, -1)[unread] == 0).all() and unread.sum() < 8 * layout.tables
    with pytest.raises(ParameterError, match="not the"):
        from_parameters(parameters[:-1], layout)


def test_levels_start_at_multiples_of_eight_entries() -> None:
    layout = HashLayout(levels=2, base_resolution=4, finest_resolution=20, log2_entries=8)  # 25 entries, and 441 in 256
    rows, count = parameter_rows(layout)
    assert [int(rows[offset]) for offset in layout.offsets[:-1]] == [0, 32, 288, 320, 576, 608] and count == 864


def test_a_level_is_asked_half_a_cell_before() -> None:
    layout = HashLayout(levels=2, base_resolution=4, finest_resolution=8, log2_entries=8)
    inputs = shifted_points(torch.tensor([[0.5], [0.25], [3.0]]), layout)
    assert inputs.tolist() == [[0.375, 0.125, 0.4375, 0.1875, 0.125, 0.875, 0.1875, 0.9375, 0.375, 0.875, 0.4375, 0.9375]]


def test_what_is_missing_is_named() -> None:
    try:
        hash_kernels.get("tinycudann")
    except NotAvailableError as error:
        assert torch.cuda.is_available() or "sees no CUDA device" in str(error)
        assert "docs/back_ends.md" in str(error) or "build it again" in str(error) or "CUDA" in str(error)
        with pytest.raises(NotAvailableError, match="hash kernel 'tinycudann': "):
            select_kernel(hash_kernels, "tinycudann", "cpu")
    else:
        with pytest.raises(NotAvailableError, match="needs a CUDA device"):
            select_kernel(hash_kernels, "tinycudann", "cpu")


def test_a_package_that_does_not_load_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "tinycudann.py").write_text("raise OSError('Could not find compatible tinycudann extension for compute capability 90.')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    monkeypatch.delitem(sys.modules, _MODULE, raising=False)
    with pytest.raises(NotAvailableError, match="build it again for this PyTorch and GPU .*capability 90"):
        hash_kernels.get("tinycudann")


def test_features_it_has_no_grid_for_are_refused() -> None:
    with pytest.raises(ParameterError, match="1, 2, 4 or 8 features an entry, not 3"):
        encoding_config(HashLayout(features=3))
