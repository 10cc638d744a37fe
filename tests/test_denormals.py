"""In training, numbers too small to be normal are zero in every thread that computes; elsewhere nothing changes."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
from talkhead_core.kernels import denormals_as_zero
import numba, numpy as np, torch

@numba.njit(parallel=True)
def halved(values):
    result = np.empty_like(values)
    for i in numba.prange(len(values)):
        result[i] = values[i] * np.float32(0.5)
    return result

numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
tiny = np.full(1 << 20, 2e-38, np.float32)
with denormals_as_zero():
    print(int((halved(tiny) != 0).sum()), int(((torch.from_numpy(tiny) * 0.5) != 0).sum()))
print(int(np.float32(2e-38) * np.float32(0.5) != 0))
"""


def test_no_thread_computes_with_denormal_numbers() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0", "1"]
