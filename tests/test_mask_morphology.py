"""Masks grown, shrunk, closed and joined."""

from __future__ import annotations

import numpy as np
import pytest

from talkhead_core.media.mask_morphology import bounding_box, closed, grown, joined_to, shrunk, without_holes


def test_mask_morphology() -> None:
    dot = np.zeros((41, 41), bool)
    dot[20, 20] = True
    disc = grown(dot, 5)
    assert disc[20, 25] and not disc[20, 26] and not disc[25, 25] and disc.sum() == pytest.approx(np.pi * 25, rel=0.2)
    assert shrunk(disc, 4).sum() <= 9 and shrunk(np.ones((5, 5), bool), 3).all()
    gap = np.zeros((40, 40), bool)
    gap[10:30, 5:18], gap[10:30, 21:35] = True, True
    assert closed(gap, 4)[20, 19] and not closed(gap, 1)[20, 19] and not closed(gap, 4)[2, 2]
    ring = grown(dot, 12) & ~grown(dot, 8)
    assert without_holes(ring)[20, 20] and np.array_equal(without_holes(ring), grown(dot, 12))
    assert joined_to(gap, np.eye(40, dtype=bool) & gap & (np.arange(40) < 15))[:, :18].any()
    assert not joined_to(gap, np.zeros_like(gap)).any()
    assert bounding_box(gap) == (slice(10, 30), slice(5, 35)) and bounding_box(gap, 20) == (slice(0, 40), slice(0, 40))
    assert bounding_box(np.zeros((3, 3), bool)) is None and not grown(np.zeros((3, 3), bool), 2).any()
