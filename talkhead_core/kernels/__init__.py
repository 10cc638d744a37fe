"""Compiled kernels beside their torch references; ``hash_encoding`` picks one."""

from talkhead_core.kernels.hash_layout import HashLayout
from talkhead_core.kernels.selection import HashKernel, hash_kernels, select_hash_kernel

__all__ = ["HashKernel", "HashLayout", "hash_kernels", "select_hash_kernel"]
