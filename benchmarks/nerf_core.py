"""Training rays and rendered frames a second of the head field, beside the marching reference in plain torch.

``python -m benchmarks.nerf_core WORKSPACE SPEAKER`` measures on a prepared speaker (stages up to ``inpaint``); variants take turns in one
run, so that their ratio holds where the machine is shared. Results go to ``benchmarks/results/nerf_core_<device>.json``, and the tables of
``docs/kernels.md`` are written anew from there. On a GPU torch, Triton and tiny-cuda-nn are measured; one that does not load is left out,
and the table says why.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the stages have it

import cv2
import numpy as np
import torch

from benchmarks import nerf_core_table
from benchmarks.machine import describe_machine
from benchmarks.marching_head import MarchingHead
from benchmarks.prepared_speaker import REPOSITORY, PreparedSpeaker, load_speaker, profile_config
from talkhead_core.artifacts import write_json
from talkhead_core.errors import NotAvailableError
from talkhead_core.kernels import denormals_as_zero, hash_kernels, select_device, select_kernel
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.head_training import HeadTrainer

SIZES = (128, 256, 512)
MARCHING = "marching, torch float32"
RECORDED = "shell, triton, CUDA graph"


class Clock:
    """Wall and processor milliseconds of a unit of work, over many turns.

    Processor time over cores is what wall time would be on idle cores if all of it ran on all of them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._cores = device, len(os.sched_getaffinity(0))
        self.wall_ms: list[float] = []
        self.processor_ms: list[float] = []

    def time(self, work: Callable[[], object], units: int) -> None:
        """Time ``work``, which does ``units`` of it."""
        self._synchronise()
        wall, processor = time.perf_counter(), time.process_time()
        work()
        self._synchronise()
        self.wall_ms.append((time.perf_counter() - wall) * 1e3 / units)
        self.processor_ms.append((time.process_time() - processor) * 1e3 / units / self._cores)

    def summary(self) -> dict[str, float]:
        """Median and least wall time, and median processor time over cores, in ms a unit."""
        return {
            "wall_ms_median": round(statistics.median(self.wall_ms), 3),
            "wall_ms_least": round(min(self.wall_ms), 3),
            "processor_ms_over_cores_median": round(statistics.median(self.processor_ms), 3),
        }

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def compared_kernels(device: torch.device) -> tuple[list[str], dict[str, str]]:
    """The hash kernels that are compared on a device, the reference first; and those that do not load, with the reason."""
    kernels, left_out = ["torch"], {}
    for name in ("triton", "tinycudann") if device.type == "cuda" else ("numba",):
        try:
            select_kernel(hash_kernels, name, device.type)
        except NotAvailableError as error:
            left_out[name] = str(error)
        else:
            kernels.append(name)
    return kernels, left_out


def variants(device: torch.device) -> dict[str, str]:
    """What is compared, and the kernels it runs on."""
    kernels = compared_kernels(device)[0]
    recorded = {RECORDED: "triton"} if "triton" in kernels else {}
    return {MARCHING: "torch"} | {f"shell, {name}": name for name in kernels} | recorded


def trainer_of(variant: str, speaker: PreparedSpeaker, device: torch.device, store: Path, iterations: int = 1_000_000) -> HeadTrainer:
    """A fresh trainer; all variants draw the same rays."""
    model = speaker.model()
    config = dataclasses.replace(model.head.config, kernel=variants(device)[variant])
    torch.manual_seed(0)
    model.head = (MarchingHead if variant == MARCHING else TalkingHead)(model.head.shell, config, len(speaker.dataset.frames))
    settings = dataclasses.replace(speaker.config.head, iterations=iterations, structure_weight=0.0, cuda_graph=variant == RECORDED)
    return HeadTrainer.for_model(model.to(device), speaker.dataset, settings, CheckpointStore(store))


def measure_training(
    speaker: PreparedSpeaker, device: torch.device, repeats: int, warm_steps: int, store: Path
) -> dict[str, dict[str, float]]:
    """Milliseconds a step and rays a second of every variant, taking turns."""
    running = {name: trainer_of(name, speaker, device, store / name) for name in variants(device)}
    clocks = {name: Clock(device) for name in running}
    steps = dict.fromkeys(running, 0)

    def advance(name: str, count: int) -> None:
        for _ in range(count):
            running[name].step(steps[name])
            steps[name] += 1

    for name in running:
        advance(name, warm_steps if name == MARCHING else 20)  # the reference's grid is pruned by then
    for _ in range(repeats):
        for name in running:
            clocks[name].time(partial(advance, name, 5), 5)
    config = speaker.config.head
    rays = config.frames_per_step * config.rays_per_frame
    result = {}
    for name, clock in clocks.items():
        result[name] = clock.summary()
        for kind in ("wall_ms_median", "processor_ms_over_cores_median"):
            result[name]["rays_a_second_by_" + kind.split("_ms")[0]] = round(rays / result[name][kind] * 1e3)
    head = running[MARCHING].head
    assert isinstance(head, MarchingHead)
    result[MARCHING]["samples_a_ray"] = round(head.samples_a_ray, 1)
    reference = clocks[MARCHING]
    for name, clock in clocks.items():
        for kind in ("wall_ms", "processor_ms"):
            pairs = zip(getattr(reference, kind), getattr(clock, kind), strict=True)
            result[name][f"times_the_reference_by_{kind[:-3]}"] = round(statistics.median(slow / quick for slow, quick in pairs), 2)
    return result


def measure_rendering(speaker: PreparedSpeaker, device: torch.device, repeats: int) -> dict[str, dict[str, Any]]:
    """Milliseconds and frames a second of whole frames, head over plate, at each size; kernels take turns."""
    result: dict[str, dict[str, Any]] = {}
    count = 40 if device.type == "cuda" else 4
    for size in SIZES:
        drawn = {}
        for kernel in compared_kernels(device)[0]:
            model = speaker.model()
            torch.manual_seed(0)
            model.head = TalkingHead(model.head.shell, dataclasses.replace(model.head.config, kernel=kernel), len(speaker.dataset.frames))
            drawn[kernel] = _frame_maker(model.to(device), speaker, size)
        clocks = {kernel: Clock(device) for kernel in drawn}
        for turn in range(repeats + 1):
            for kernel, draw in drawn.items():
                work = partial(draw, turn * count, count)
                if turn:  # the first turn compiles and warms up
                    clocks[kernel].time(work, count)
                else:
                    work()
        result[str(size)] = {kernel: clock.summary() for kernel, clock in clocks.items()}
        for times in result[str(size)].values():
            times["frames_a_second_by_wall"] = round(1e3 / times["wall_ms_median"], 1)
            times["frames_a_second_by_processor"] = round(1e3 / times["processor_ms_over_cores_median"], 1)
    return result


def _frame_maker(model: SpeakerModel, speaker: PreparedSpeaker, size: int) -> Callable[[int, int], None]:
    """Draws so many frames, from a turn on, over the background."""
    track, ids = speaker.dataset.track, speaker.dataset.held_out_ids
    codes = model.lip_codes.encode(track.mesh_cm, track.shape_cm)
    expression = model.expression(track.mesh_cm, track.shape_cm, track.expression)
    renderer = PortraitRenderer(model, track.camera(size))
    plate = cv2.resize(speaker.dataset.plate, (size, size), interpolation=cv2.INTER_AREA)

    def draw(first: int, count: int) -> None:
        frames = [ids[turn % len(ids)] for turn in range(first, first + count)]
        driven = [(track.rotation[frame], track.translation_cm[frame], codes[frame], expression[frame]) for frame in frames]
        for head in renderer.heads(driven):
            head.over(plate)

    return draw


def held_out_psnr(trainer: HeadTrainer, speaker: PreparedSpeaker, model: SpeakerModel, every: int = 4) -> float:
    """PSNR inside the head region of held-out frames, driven by their tracked lip codes and poses."""
    dataset, track, size = speaker.dataset, speaker.dataset.track, speaker.dataset.size_px
    model = dataclasses.replace(
        model, head=trainer.head, appearance=trainer.head.appearance[dataset.train_ids].mean(dim=0).detach().cpu().numpy()
    )
    codes = model.lip_codes.encode(track.mesh_cm, track.shape_cm)
    expression = model.expression(track.mesh_cm, track.shape_cm, track.expression)
    renderer = PortraitRenderer(model, track.camera(size))
    plate, total, count = dataset.plate.astype(np.float32) / 255, 0.0, 0.0
    for frame in dataset.held_out_ids[::every]:
        layer = renderer.head(track.rotation[frame], track.translation_cm[frame], codes[frame], expression[frame])
        difference = (layer.over(plate).astype(np.float32) - dataset.frames[frame]) / 255
        total += float((layer.region * difference**2).sum())
        count += 3 * float(layer.region.sum())
    return -10 * float(np.log10(total / count))


def measure_quality(
    speaker: PreparedSpeaker, device: torch.device, step_seconds: dict[str, float], budgets_s: list[float], store: Path
) -> dict[str, list[dict[str, float]]]:
    """Held-out PSNR of whole trainings, rates falling to their end, of as many steps as fit into each budget."""
    model = speaker.model()
    result: dict[str, list[dict[str, float]]] = {}
    for name, seconds in step_seconds.items():
        result[name] = []
        for budget in budgets_s:
            steps = max(1, round(budget / seconds))
            trainer = trainer_of(name, speaker, device, store / f"{name} {budget}", steps)
            trainer.train()
            row = {"seconds": budget, "steps": steps, "psnr_head_db": round(held_out_psnr(trainer, speaker, model), 2)}
            result[name].append(row)
            print(name, row, flush=True)
    return result


def peak_memory(arguments: argparse.Namespace) -> dict[str, float]:
    """Most memory, in MiB, of a process that trains and of one that renders 100 frames at the largest size, the data it loaded included.

    Resident memory, or what PyTorch allocated on a GPU.
    """
    result = {}
    for work in ("train", "render"):
        command = [sys.executable, "-m", "benchmarks.nerf_core", str(arguments.source), arguments.speaker, "--profile", arguments.profile]
        done = subprocess.run([*command, "--device", arguments.device, "--peak", work], capture_output=True, text=True, check=True)
        result[f"{work}_mib"] = float(done.stdout.split()[-1])
    return result


def _peak_of(work: str, speaker: PreparedSpeaker, device: torch.device) -> float:
    if device.type == "cpu":
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    if work == "train":
        with tempfile.TemporaryDirectory() as folder:
            trainer = HeadTrainer.for_model(speaker.model().to(device), speaker.dataset, speaker.config.head, CheckpointStore(Path(folder)))
            for step in range(30):
                trainer.step(step)
    else:
        draw = _frame_maker(speaker.model().to(device), speaker, SIZES[-1])
        draw(0, 100)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()
    return round(int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024)


@denormals_as_zero()
def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a workspace, or a file that benchmarks.prepared_speaker packed")
    parser.add_argument("speaker")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--warm-steps", type=int, default=600, help="of the reference, before it is timed")
    parser.add_argument(
        "--quality-seconds",
        type=float,
        nargs="*",
        default=[],
        help="lengths of the trainings whose held-out PSNR is taken: processor time over cores, or wall time on a GPU",
    )
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", choices=["train", "render"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="instead of the repository's results; then its tables stay as they are")
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    speaker = load_speaker(arguments.source, arguments.speaker, profile_config(arguments.profile))
    if arguments.peak:
        print(_peak_of(arguments.peak, speaker, device))
        return
    config = speaker.config
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "settings": {"size_px": config.size_px, "frames": len(speaker.dataset.frames), **dataclasses.asdict(config.head)},
        "field": dataclasses.asdict(config.field),
        "left_out": compared_kernels(device)[1],
    }
    with tempfile.TemporaryDirectory() as folder:
        result["rendering"] = measure_rendering(speaker, device, arguments.repeats)
        result["training"] = measure_training(speaker, device, arguments.repeats, arguments.warm_steps, Path(folder))
        if arguments.quality_seconds:
            kind = "wall_ms_median" if device.type == "cuda" else "processor_ms_over_cores_median"
            seconds = {name: row[kind] / 1e3 for name, row in result["training"].items() if name != "shell, torch"}
            result["held_out"] = measure_quality(speaker, device, seconds, arguments.quality_seconds, Path(folder) / "quality")
    if not arguments.no_memory:
        result["peak_memory"] = peak_memory(arguments)
    out = arguments.out or REPOSITORY / "benchmarks" / "results" / f"nerf_core_{device.type}.json"
    write_json(out, result)
    if arguments.out is None:
        nerf_core_table.main()
    for part in ("training", "rendering", "held_out", "peak_memory"):
        for name, value in result.get(part, {}).items():
            print(part, name, value)


if __name__ == "__main__":
    main()
