"""The names under which figures are given. A figure without its protocol means nothing.

A head-only score is mostly the score of its compositing: the same method on the same subject is 32 dB or 38 dB depending
on what stands behind the head.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAIR", "PROTOCOLS", "Protocol"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What a figure was measured on.

    Args:
        name: ``<compositing>/<drive>``, as in ``metrics.json``.
        file: the video of the ``render`` stage.
        control: True for a baseline that the model must beat.
        says: one sentence for a reader.
        regions: the regions that it is scored on.
    """

    name: str
    file: str
    control: bool
    says: str
    regions: tuple[str, ...]


# no torso score for the head protocol: its torso is the ground truth
_HEAD_REGIONS = ("full", "head", "face", "mouth", "outside_transient")
_FULL_REGIONS = ("full", "head", "face", "mouth", "torso", "outside_transient")

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        name="head/self",
        file="heldout.mkv",
        control=False,
        says="the rendered head over the ground-truth frame, driven by the held-out frames' own audio",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="head/wrong_audio",
        file="heldout_wrong_audio.mkv",
        control=True,
        says="control: the same, driven by speech from elsewhere in the clip",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="head/static_mouth",
        file="heldout_static_mouth.mkv",
        control=True,
        says="control: the same, with the mouth held at its mean shape",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="head/retrieval",
        file="heldout_retrieval.mkv",
        control=True,
        says="control: the training frame of the nearest pose in place of the rendered head",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="portrait/self",
        file="heldout_portrait.mkv",
        control=False,
        says="the rendered head pasted onto the ground-truth frame with a soft edge, driven by its own audio",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="full/self",
        file="heldout_full.mkv",
        control=False,
        says="rendered head and torso over the background plate, driven by the held-out frames' own audio",
        regions=_FULL_REGIONS,
    ),
)

PAIR = Protocol(
    name="pair",
    file="",
    control=False,
    says="two videos as they are, aligned in time and resized to the reference",
    regions=("full", "face", "mouth"),
)
