"""The names under which figures are given. A figure without its protocol means nothing.

A head-only score is mostly the score of its compositing: the same method on the same subject is 32 dB or 38 dB depending
on what stands behind the head.

``self``: driven by the very speech of the frames that it is compared with. ``cross``: driven by other speech, to which no recording
of the speaker exists, so that only figures without a reference can be given.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CROSS_PROTOCOLS",
    "CROSS_STATIC_MOUTH",
    "CROSS_WRONG_SOUND",
    "PAIR",
    "PAIR_STATIC_MOUTH",
    "PAIR_WRONG_TIME",
    "PROTOCOLS",
    "Protocol",
    "cross_protocol",
]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What a figure was measured on.

    Args:
        name: ``<compositing>/<drive>``, as in ``metrics.json``.
        title: what a person calls it.
        file: the video of the ``render`` stage.
        control: True for a baseline that the model must beat.
        says: one sentence for a reader.
        regions: the regions that it is scored on.
    """

    name: str
    title: str
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
        title="head",
        file="heldout.mkv",
        control=False,
        says="the rendered head over the ground-truth frame, driven by the held-out frames' own audio",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="head/wrong_audio",
        title="wrong audio",
        file="heldout_wrong_audio.mkv",
        control=True,
        says="control: the same, driven by speech from elsewhere in the clip",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="head/static_mouth",
        title="still mouth",
        file="heldout_static_mouth.mkv",
        control=True,
        says="control: the same, with the lip codes held at their mean over the training frames",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="head/retrieval",
        title="nearest training frame",
        file="heldout_retrieval.mkv",
        control=True,
        says="control: the training frame of the nearest pose in place of the rendered head",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="portrait/self",
        title="face alone",
        file="heldout_portrait.mkv",
        control=False,
        says="the rendered face alone pasted onto the ground-truth frame with a soft edge, driven by the held-out frames' own audio",
        regions=_HEAD_REGIONS,
    ),
    Protocol(
        name="full/self",
        title="head and torso",
        file="heldout_full.mkv",
        control=False,
        says="rendered head and torso over the background plate, driven by the held-out frames' own audio",
        regions=_FULL_REGIONS,
    ),
)

CROSS_PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        name="head/cross",
        title="dub, head",
        file="",
        control=False,
        says="a dub: the rendered head over the recorded frames, driven by other speech; nothing to compare with",
        regions=(),
    ),
    Protocol(
        name="full/cross",
        title="dub, head and torso",
        file="",
        control=False,
        says="a dub: rendered head and torso over the background plate, driven by other speech; nothing to compare with",
        regions=(),
    ),
    Protocol(
        name="video/cross",
        title="video",
        file="",
        control=False,
        says="a video of which it is not known how it was made, driven by its own sound; nothing to compare with",
        regions=(),
    ),
)

CROSS_WRONG_SOUND = Protocol(
    name="cross/wrong_sound",
    title="wrong sound",
    file="",
    control=True,
    says="control: the dub's lips against other parts of its sound, a quarter to three quarters of its length away; lip figures only",
    regions=(),
)
CROSS_STATIC_MOUTH = Protocol(
    name="cross/static_mouth",
    title="still mouth",
    file="",
    control=True,
    says="control: a mouth that stands still in the dub's head, against its sound: what the head's own motion is worth; lip figures only",
    regions=(),
)

PAIR = Protocol(
    name="pair",
    title="pair",
    file="",
    control=False,
    says="two videos as they are, aligned in time and resized to the reference",
    regions=("full", "face", "mouth"),
)

PAIR_WRONG_TIME = Protocol(
    name="pair/wrong_time",
    title="wrong time",
    file="",
    control=True,
    says="control: the rendered lips of half the video later against the reference; lip figures only",
    regions=(),
)
PAIR_STATIC_MOUTH = Protocol(
    name="pair/static_mouth",
    title="still mouth",
    file="",
    control=True,
    says="control: the rendered lips held at their mean shape; lip figures only",
    regions=(),
)


def cross_protocol(torso: str | None) -> Protocol:
    """The protocol of a dub whose torso is ``source`` or ``field`` (the section ``dub``); None where that is not known."""
    name = {"source": "head/cross", "field": "full/cross", None: "video/cross"}[torso]
    return next(protocol for protocol in CROSS_PROTOCOLS if protocol.name == name)
