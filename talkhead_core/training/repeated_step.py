"""Work of fixed shapes that is done many thousand times: on a GPU recorded once, then replayed as one launch.

A step of the head's training is many small kernels, and starting them one by one takes a processor longer than a fast GPU
takes to run them. A CUDA graph starts them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = ["RepeatedStep"]

_RUNS_BEFORE_RECORDING = 3
"""By then kernels are compiled, libraries have their workspaces and the optimiser its moments."""


class RepeatedStep:
    """Calls ``work``; where it is ``recorded``, by replaying a CUDA graph of it.

    Args:
        work: from a tensor, always of one shape, to named scalars. It may draw numbers from ``generator`` and change tensors in
            place; every other tensor that it reads must stay where it is in memory until :meth:`forget`.
        generator: seeded before a call as before a call of ``work`` itself.
        recorded: whether to record; else every call is one of ``work``.
    """

    def __init__(self, work: Callable[[Tensor], Mapping[str, Tensor]], generator: torch.Generator, *, recorded: bool) -> None:
        self._work, self._generator, self._recorded = work, generator, recorded
        self.forget()

    def forget(self) -> None:
        """Record anew: tensors that ``work`` reads have been replaced."""
        self._runs = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._input: Tensor | None = None
        self._output: Mapping[str, Tensor] = {}

    def __call__(self, given: Tensor) -> dict[str, Tensor]:
        """The scalars of ``work``, on the device; nothing is waited for."""
        if not self._recorded:
            return dict(self._work(given))
        if self._runs < _RUNS_BEFORE_RECORDING:
            self._runs += 1
            return self._beside(given)
        if self._graph is None:
            self._record(given)
        assert self._graph is not None and self._input is not None
        self._input.copy_(given, non_blocking=True)
        self._graph.replay()
        return {name: value.clone() for name, value in self._output.items()}  # the next replay writes over them

    def _beside(self, given: Tensor) -> dict[str, Tensor]:
        """A run on a stream of its own, as what is recorded later must not depend on the default one."""
        here, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            result = dict(self._work(given))
        here.wait_stream(beside)
        return result

    def _record(self, given: Tensor) -> None:
        self._input = given.clone()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.cuda.graph(graph):
            self._output = self._work(self._input)
        self._graph = graph
