"""Whole frames of a speaker: one by one, or with the next ones' shells placed ahead."""

import numpy as np
import pytest
import torch

from talkhead_core.rendering.portrait_renderer import Driven, PortraitRenderer
from tests.test_training import speaker_model, trainer


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_heads_placed_ahead_are_those_drawn_one_by_one(tmp_path, ahead: int) -> None:
    run = trainer(tmp_path)
    track = run.dataset.track
    renderer = PortraitRenderer(speaker_model(run), track.camera(64), ahead=ahead)
    asked: list[int] = []

    def driven(frame: int) -> Driven:
        asked.append(frame)
        return track.rotation[frame], track.translation_cm[frame], np.zeros(2, np.float32), track.expression[frame]

    for count, layer in enumerate(renderer.heads(driven(frame) for frame in range(5))):
        assert len(asked) == min(5, count + 1 + ahead), "no further ahead than asked"
        one = renderer.head(*driven(count))
        asked.pop()
        for name in ("colour", "opacity", "weight"):
            assert torch.equal(getattr(layer, name), getattr(one, name))
    assert count == 4
    assert list(renderer.heads([])) == []


def test_a_frame_that_cannot_be_placed_is_an_error_of_the_one_who_asked(tmp_path) -> None:
    run = trainer(tmp_path)
    track = run.dataset.track
    renderer = PortraitRenderer(speaker_model(run), track.camera(64), ahead=2)
    good = (track.rotation[0], track.translation_cm[0], np.zeros(2, np.float32), track.expression[0])
    with pytest.raises(ValueError, match="dimension|shape|match"):
        list(renderer.heads([good, good, (*good[:2], np.zeros(5, np.float32), good[3]), good]))
