"""The stages, one module each.

Two OpenMP pools live in one process, torch's and numba's. A pool that spins while the other works makes a training step
2.5 to 8 times as slow, and only the environment can tell it not to, before the first import: this is that place.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")
