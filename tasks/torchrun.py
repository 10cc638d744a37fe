"""A stage that ``torchrun`` starts trains as one of several processes.

``torchrun --nproc_per_node 2 -m tasks.train_coarse --speaker NAME``
"""

from __future__ import annotations

import os

import torch

from talkhead_core.kernels import select_device

__all__ = ["is_first_process", "training_device"]


def is_first_process() -> bool:
    """Whether this process writes the stage's outputs; true for a stage that was not started by ``torchrun``."""
    return int(os.environ.get("RANK", "0")) == 0


def training_device(name: str) -> torch.device:
    """The device called ``name``; under ``torchrun``, join the other processes, each on a GPU of its own where there are GPUs."""
    device = select_device(name)
    if "RANK" not in os.environ:
        return device
    if device.type == "cuda":
        device = select_device(f"cuda:{os.environ['LOCAL_RANK']}")
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device
