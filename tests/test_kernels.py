"""Every kernel against the torch reference: values and gradients, at any size, to the border and beyond."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are first imported: Triton's programs then run on the processor

from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.kernels import (
    HashLayout,
    ShellGeometry,
    hash_kernels,
    marching_kernels,
    perceptron_kernels,
    select_device,
    select_kernel,
    shell_kernels,
)
from talkhead_core.registry import Registry

DEVICE = {"torch": "cpu", "numba": "cpu", "triton": "cuda" if torch.cuda.is_available() else "cpu"}
LAYOUTS = {
    "dense": HashLayout(levels=3, features=1, base_resolution=4, finest_resolution=12, log2_entries=10),
    "hashed": HashLayout(levels=2, features=2, base_resolution=40, finest_resolution=90, log2_entries=8),
    "both": HashLayout(levels=5, features=1, base_resolution=7, finest_resolution=64, log2_entries=9),
    "both, two features": HashLayout(levels=4, features=2, base_resolution=8, finest_resolution=50, log2_entries=9),
    "one cell short of dense": HashLayout(levels=1, features=1, base_resolution=16, finest_resolution=16, log2_entries=8),
}


def kernel(kernels: Registry, name: str):
    if name == "triton" and importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed: pip install -e '.[gpu]'")
    return kernels.get(name)


def others(kernels: Registry) -> list[str]:
    return [name for name in kernels if name not in ("torch", "tinycudann")]  # tests/test_tinycudann.py holds that one to the reference


def values_and_gradients(function, inputs: list[Tensor], device: str) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of ``function`` and the gradients of a fixed random sum of them in every floating input."""
    leaves = [value.to(device).detach().requires_grad_(value.is_floating_point()) for value in inputs]
    outputs = function(*leaves)
    outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    generator = torch.Generator().manual_seed(7)
    total = sum((output.float().cpu() * torch.randn(output.shape, generator=generator)).sum() for output in outputs)
    gradients = torch.autograd.grad(total, [leaf for leaf in leaves if leaf.requires_grad])
    return [output.detach().cpu() for output in outputs], [gradient.cpu() for gradient in gradients]


def assert_same(measured: list[Tensor], wanted: list[Tensor], tolerance: float = 2e-6) -> None:
    for value, reference in zip(measured, wanted, strict=True):
        assert value.shape == reference.shape
        scale = reference.abs().max().clamp_min(1e-6) if reference.numel() else 1.0
        torch.testing.assert_close(value / scale, reference / scale, rtol=0, atol=tolerance)


def random_points(samples: int) -> Tensor:
    """Points inside, outside and exactly on the border, on grid lines and in the corners."""
    points = torch.rand(3, samples, generator=torch.Generator().manual_seed(samples)) * 1.4 - 0.2
    x = [0.0, 1.0, 0.5, 1.0, 0.0, -3.0, 7.0]
    y = [0.0, 1.0, 0.25, 0.0, 1.0, 0.3, -1.0]
    special = torch.tensor([x, y, [1.0, 1.0, 0.125, 0.5, 0.75, 2.0, 0.5]])
    count = min(samples, special.shape[1])
    points[:, :count] = special[:, :count]
    return points


@pytest.mark.parametrize("samples", [0, 1, 7, 257])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("name", others(hash_kernels))
def test_hash_kernels_agree_with_the_reference(name: str, layout: HashLayout, samples: int) -> None:
    encode = kernel(hash_kernels, name)
    table = torch.randn(layout.entries, layout.features, generator=torch.Generator().manual_seed(3))
    inputs = [random_points(samples), table]
    wanted = values_and_gradients(lambda p, t: hash_kernels.get("torch")(p, t, layout), inputs, "cpu")
    measured = values_and_gradients(lambda p, t: encode(p, t, layout), inputs, DEVICE[name])
    assert measured[0][0].shape == (layout.output_channels, samples)
    assert_same(measured[0], wanted[0])
    assert_same(measured[1], wanted[1])


@pytest.mark.parametrize("name", others(hash_kernels))
def test_a_nan_point_reads_an_entry_of_the_table(name: str) -> None:
    layout = LAYOUTS["both"]
    table = torch.randn(layout.entries, 1)
    output = kernel(hash_kernels, name)(torch.full((3, 5), float("nan"), device=DEVICE[name]), table.to(DEVICE[name]), layout)
    assert output.cpu().nan_to_num().abs().max() <= table.abs().max()


@pytest.mark.parametrize(
    ("frames", "per_frame", "channels", "hidden", "outputs"),
    [(1, 0, 42, 64, 4), (1, 1, 6, 8, 4), (3, 5, 5, 10, 3), (2, 257, 42, 64, 4), (1, 1025, 37, 30, 1), (16, 96, 42, 48, 4)],
)
@pytest.mark.parametrize("name", others(perceptron_kernels))
def test_perceptron_kernels_agree_with_the_reference(
    name: str, frames: int, per_frame: int, channels: int, hidden: int, outputs: int
) -> None:
    generator = torch.Generator().manual_seed(per_frame)
    sizes = [(channels, frames * per_frame), (frames, 2, hidden), (hidden, channels), (hidden, hidden), (outputs, hidden), (outputs,)]
    inputs = [torch.randn(size, generator=generator) for size in sizes]
    inputs[2:5] = [weight / weight.shape[1] ** 0.5 for weight in inputs[2:5]]
    wanted = values_and_gradients(perceptron_kernels.get("torch"), inputs, "cpu")
    measured = values_and_gradients(kernel(perceptron_kernels, name), inputs, DEVICE[name])
    assert_same(measured[0], wanted[0])
    assert_same(measured[1], wanted[1], tolerance=5e-6)  # sums over a thousand samples in another order


def test_the_perceptron_keeps_a_nan_visible() -> None:
    inputs = [torch.randn(8, 20), torch.randn(1, 2, 8), torch.randn(8, 8), torch.randn(8, 8), torch.randn(4, 8), torch.randn(4)]
    inputs[2][3, 3] = float("nan")
    assert torch.isnan(perceptron_kernels.get("numba")(*inputs)).any()


@pytest.mark.slow
@pytest.mark.parametrize("lanes", ["avx2", "avx512 elsewhere than on Zen", "128 bits"])
def test_the_vector_tiles_are_right_for_other_processors(lanes: str) -> None:
    cpu, features = {
        "avx2": ("haswell", ""),
        "avx512 elsewhere than on Zen": ("skylake-avx512", ""),
        "128 bits": ("nehalem", ""),
    }[lanes]
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("names x86 processors")
    script = (
        "import llvmlite.binding as b, numba, torch\n"
        f"kept = b.get_host_cpu_features(); chosen = {lanes!r}\n"
        "allowed = {'avx2': ('avx', 'avx2', 'fma'), '128 bits': ()}.get(chosen, tuple(kept))\n"
        "features = b.FeatureMap({k: v and (k in allowed or not k.startswith(('avx', 'fma'))) for k, v in kept.items()})\n"
        "b.get_host_cpu_features, b.get_host_cpu_name = lambda: features, lambda: 'test'\n"
        "from tests.test_kernels import test_perceptron_kernels_agree_with_the_reference as check\n"
        "check('numba', 2, 257, 42, 64, 4)\n"
        "from talkhead_core.kernels import vector_tiles\n"
        "print(vector_tiles._LANES, vector_tiles._VECTORS)\n"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": os.devnull}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == {"avx2": ["8", "2"], "128 bits": ["4", "4"]}.get(lanes, ["8", "4"])


def geometry(device: str, map_px: int = 9, size_px: int = 40) -> ShellGeometry:
    generator = torch.Generator().manual_seed(5)
    angles = torch.randn(4, 3, 3, generator=generator)
    rotation = torch.linalg.qr(angles)[0]
    return ShellGeometry(
        maps=torch.randint(-9000, 9000, (4, map_px, map_px, 5), generator=generator, dtype=torch.int16).to(device),
        depth_origin_cm=(60 + 10 * torch.rand(4, generator=generator)).to(device),
        inverse_rotation=rotation.to(device),
        camera_centre_cm=torch.randn(4, 3, generator=generator).mul(40).to(device),
        centre_cm=torch.tensor([0.3, -1.0, 2.0], device=device),
        half_extent_cm=14.0,
        focal_px=90.0,
        size_px=size_px,
    )


@pytest.mark.parametrize(("rays", "samples"), [(0, 3), (1, 1), (131, 3), (1000, 6)])
@pytest.mark.parametrize("name", others(shell_kernels))
def test_shell_kernels_agree_with_the_reference(name: str, rays: int, samples: int) -> None:
    generator = torch.Generator().manual_seed(rays)
    row = torch.randint(0, 4, (rays,), generator=generator)
    pixel = torch.rand(rays, 2, generator=generator) * 44 - 2  # over the image's edge too
    pixel[:4] = torch.tensor([[0.0, 0.0], [40.0, 40.0], [0.5, 39.5], [20.0, 20.0]])[:rays]
    jitter = torch.rand(rays, samples, generator=generator)
    wanted = shell_kernels.get("torch")(geometry("cpu"), row, pixel, jitter)
    device = DEVICE[name]
    points, step = kernel(shell_kernels, name)(geometry(device), row.to(device), pixel.to(device), jitter.to(device))
    assert points.shape == (3, rays * samples)
    torch.testing.assert_close(points.cpu(), wanted[0], rtol=0, atol=2e-5)  # float32 at 80 cm from the camera, over a box of 28 cm
    torch.testing.assert_close(step.cpu(), wanted[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rays", [0, 1, 257])
@pytest.mark.parametrize("name", others(marching_kernels))
def test_marching_kernels_agree_with_the_reference(name: str, rays: int) -> None:
    generator = torch.Generator().manual_seed(rays)
    poses = dataclasses.replace(geometry("cpu"), camera_centre_cm=torch.randn(4, 3, generator=generator) * 60)
    occupied = (torch.rand(16, 16, 16, generator=generator) < 0.4).to(torch.uint8)
    row = torch.randint(4, (rays,), generator=generator)
    towards = poses.centre_cm - poses.camera_centre_cm  # look at the box, and let some rays miss it
    view = torch.linalg.solve(poses.inverse_rotation, towards[:, :, None])[:, :, 0][row] + torch.randn(rays, 3, generator=generator) * 4
    pixel = torch.stack([view[:, 0], -view[:, 1]], dim=1) / -view[:, 2:] * poses.focal_px + poses.size_px / 2
    inputs = (poses, occupied, row, pixel, torch.rand(rays, generator=generator), 5)
    points, ray, place = marching_kernels.get("torch")(*inputs)
    measured = kernel(marching_kernels, name)(*inputs)
    slots = torch.stack([torch.bincount(each * 5 + at, minlength=rays * 5) for each, at in ((ray, place), measured[1:])])
    assert (
        (slots[0] != slots[1]).float().mean() < 0.01 if rays else slots.shape == (2, 0)
    )  # a sample on a cell's wall may fall on either side
    if torch.equal(slots[0], slots[1]):
        torch.testing.assert_close(measured[0], points, rtol=0, atol=1e-4)
        assert torch.equal(measured[1], ray) and torch.equal(measured[2], place)


def test_marching_finds_the_first_occupied_cells_of_a_ray() -> None:
    box = dataclasses.replace(
        geometry("cpu"),
        inverse_rotation=torch.eye(3).expand(4, 3, 3),
        camera_centre_cm=torch.tensor([[0.0, 0.0, 50.0]]).expand(4, 3),
        centre_cm=torch.zeros(3),
        half_extent_cm=10.0,
    )
    occupied = torch.zeros(16, 16, 16, dtype=torch.uint8)
    occupied[:, :, 4:10] = 1  # z from -5 to 2.5 cm
    middle = torch.full((1, 2), box.size_px / 2)
    for name in ("torch", "numba"):
        points, ray, place = marching_kernels.get(name)(box, occupied, torch.zeros(1, dtype=torch.int64), middle, torch.full((1,), 0.5), 3)
        depth_cm = (points[2] - 0.5) * 20
        step_cm = 3**0.5 * 20 / 16
        assert place.tolist() == [0, 1, 2] and ray.tolist() == [0, 0, 0]
        torch.testing.assert_close(depth_cm[:-1] - depth_cm[1:], torch.full((2,), step_cm), rtol=1e-4, atol=1e-4)
        assert 2.5 - step_cm <= float(depth_cm[0]) <= 2.5
        nothing, none, _ = marching_kernels.get(name)(box, occupied * 0, torch.zeros(1, dtype=torch.int64), middle, torch.zeros(1), 3)
        assert nothing.shape == (3, 0) and len(none) == 0


def test_samples_of_the_shell_lie_where_geometry_says() -> None:
    """One ray by hand: a frontal camera 80 cm away, a shell 2 cm thick at 80 cm, no displacement."""
    from talkhead_core.kernels.shell_geometry import DEPTH_SCALE_CM

    maps = torch.zeros(1, 8, 8, 5, dtype=torch.int16)
    maps[..., 1] = round(1.0 / DEPTH_SCALE_CM)
    frontal = ShellGeometry(
        maps=maps,
        depth_origin_cm=torch.tensor([80.0]),
        inverse_rotation=torch.eye(3)[None],
        camera_centre_cm=torch.tensor([[0.0, 0.0, 80.0]]),
        centre_cm=torch.zeros(3),
        half_extent_cm=10.0,
        focal_px=400.0,
        size_px=100,
    )
    pixel, row, middle = torch.tensor([[60.0, 45.0]]), torch.zeros(1, dtype=torch.int64), torch.full((1, 2), 0.5)
    wanted = [[80 * 10 / 400, 80 * 5 / 400, 0.0]]
    for name in shell_kernels:
        points, step = kernel(shell_kernels, name)(frontal, row, pixel, middle) if DEVICE[name] == "cpu" else (None, None)
        if points is None:
            continue
        head = (points - 0.5) * 20
        torch.testing.assert_close(head.mean(dim=1)[None], torch.tensor(wanted), rtol=0, atol=1e-4)
        torch.testing.assert_close(head[2], torch.tensor([0.5, -0.5]), rtol=0, atol=1e-3)  # the nearer first
        assert step.item() == pytest.approx(1.0, abs=1e-3)


def test_kernels_are_deterministic_whatever_the_number_of_threads() -> None:
    import numba

    layout = LAYOUTS["both"]
    inputs = [random_points(3000), torch.randn(layout.entries, 1, generator=torch.Generator().manual_seed(1))]
    weights = [torch.randn(15, 3000), torch.randn(3, 2, 24), torch.randn(24, 15), torch.randn(24, 24), torch.randn(4, 24), torch.randn(4)]
    results = []
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        hashed = values_and_gradients(lambda p, t: hash_kernels.get("numba")(p, t, layout), inputs, "cpu")
        results.append(sum(hashed, []) + sum(values_and_gradients(perceptron_kernels.get("numba"), weights, "cpu"), []))
        numba.set_num_threads(before)
    for one in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], one, strict=True))


@pytest.mark.parametrize("name", others(hash_kernels))
def test_a_training_step_is_the_same_under_every_kernel(name: str, tmp_path: Path) -> None:
    from tests.test_training import FIELD, trainer

    if DEVICE[name] != "cpu":
        pytest.skip("the small trainer runs on the processor")
    losses = {}
    for chosen in ("torch", name):
        kernel(hash_kernels, chosen)
        run = trainer(tmp_path / chosen, frames_per_step=2, rays_per_frame=32)
        run.head.field.config = dataclasses.replace(FIELD, kernel=chosen)
        run.head.field.encoder.kernel = chosen
        losses[chosen] = [run.step(step)["loss"].item() for step in range(3)]
        assert run.head.field.encoder.kernel_name == chosen
    assert losses[name] == pytest.approx(losses["torch"], rel=2e-3)  # torch's perceptron rounds to bfloat16 where the processor can


def test_a_device_that_is_not_there_is_named() -> None:
    assert select_device("cpu").type == "cpu"
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(NotAvailableError, match=r"device 'cuda:99'.*sees \d+ GPUs"):
        select_device("cuda:99")
    with pytest.raises(ParameterError, match="no device called 'gpu'"):
        select_device("gpu")


def test_a_kernel_that_cannot_run_says_why() -> None:
    with pytest.raises(NotAvailableError, match="numba.*runs on the processor.*cuda"):
        select_kernel(hash_kernels, "numba", "cuda")
    with pytest.raises(ParameterError, match="no hash kernel called 'tritn'.*Did you mean 'triton'"):
        select_kernel(hash_kernels, "tritn", "cpu")
    missing = Registry("hash kernel", {"torch": "talkhead_core.kernels.hash_torch:encode", "triton": "a_package_nobody_has:encode"})
    with pytest.raises(NotAvailableError, match="hash kernel 'triton' needs a package that is not installed: No module named 'a_package"):
        select_kernel(missing, "triton", "cuda")
    assert select_kernel(missing, "auto", "cuda")[0] == "torch"
    nothing = Registry("hash kernel", {"numba": "no_numba:encode", "torch": "no_torch:encode"})
    with pytest.raises(NotAvailableError, match="(?s)no hash kernel loads on cpu: numba:.*no_numba.*torch:.*no_torch"):
        select_kernel(nothing, "auto", "cpu")


def test_triton_on_a_processor_is_refused_without_its_interpreter() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed: pip install -e '.[gpu]'")
    script = (
        "from talkhead_core.kernels import hash_kernels, select_kernel\n"
        "try:\n    select_kernel(hash_kernels, 'triton', 'cpu')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True).stdout
    assert said.startswith("NotAvailableError hash kernel 'triton' needs a CUDA device"), said


def test_auto_takes_the_compiled_kernels() -> None:
    for kernels in (hash_kernels, perceptron_kernels, shell_kernels):
        assert select_kernel(kernels, "auto", "cpu")[0] == "numba"
    assert select_kernel(perceptron_kernels, "triton", "cuda")[0] == "torch"  # there is no Triton perceptron


_GRADIENTS = """
import hashlib
import torch
from talkhead_core.kernels.perceptron_numba import perceptron

torch.manual_seed(0)
shapes = ((18, 2 * 700), (2, 2, 32), (32, 18), (32, 32), (4, 32), (4,))
given = [torch.randn(*shape).requires_grad_() for shape in shapes]
perceptron(*given).square().sum().backward()
print(hashlib.sha256(b"".join(tensor.grad.numpy().tobytes() for tensor in given)).hexdigest())
"""


def test_a_kernel_gives_the_same_bits_where_it_is_compiled_and_where_it_is_loaded(tmp_path) -> None:
    """The compiler works once more on what it has loaded; a sum whose order is left to it would come out otherwise."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", _GRADIENTS]
    found = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert len(found[0].strip()) == 64 and found[0] == found[1]
