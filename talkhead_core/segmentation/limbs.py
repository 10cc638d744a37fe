"""Hands and forearms of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["NO_LIMBS", "Limbs", "hand_length_px", "limbs_between", "seen_again"]


@dataclass(frozen=True, kw_only=True)
class Limbs:
    """Hands, and the arms that reach in front of the torso.

    Args:
        hands: ``[n, 21, 2]`` hand landmarks in pixels (MediaPipe's order: 0 wrist, 9 root of the middle finger).
        arms: ``[2, 3, 2]`` elbow, wrist and knuckles of the person's left and right arm in pixels; NaN for an arm that is not
            seen in front of the torso.
    """

    hands: FloatArray
    arms: FloatArray

    @property
    def any(self) -> bool:
        """Whether there is a hand or an arm."""
        return bool(len(self.hands)) or bool(np.isfinite(self.arms).any())


NO_LIMBS = Limbs(hands=np.zeros((0, 21, 2), np.float32), arms=np.full((2, 3, 2), np.nan, np.float32))


def hand_length_px(hand: FloatArray) -> float:
    """Length of one hand ``[21, 2]``: wrist to the root of the middle finger, doubled, which bent fingers do not change."""
    return 2.0 * float(np.linalg.norm(hand[9] - hand[0]))


def seen_again(limbs: Limbs, beside: list[Limbs]) -> Limbs:
    """``limbs`` without the hands that hang on no arm and that none of the detections ``beside`` it shows nearby; all if there are none.

    The same hand is where its wrist is nearer than two hand lengths.
    """
    if not beside or not len(limbs.hands):
        return limbs
    wrists = np.concatenate([*(other.hands[:, 0] for other in beside), limbs.arms[np.isfinite(limbs.arms).all(axis=(1, 2)), 1]])
    kept = [hand for hand in limbs.hands if (np.linalg.norm(wrists - hand[0], axis=1) < 2.0 * hand_length_px(hand)).any()]
    return Limbs(hands=np.asarray(kept, np.float32).reshape(-1, 21, 2), arms=limbs.arms)


def limbs_between(before: Limbs, after: Limbs, share: float) -> Limbs:
    """Limbs at ``share`` in (0, 1) of the way from ``before`` to ``after``.

    Hands are matched by the nearest wrist, if nearer than two hand lengths. What is seen at one end only is held, so that
    a mask made of it covers too much and not too little.
    """
    hands, free = [], list(range(len(after.hands)))
    for hand in before.hands:
        distance = {index: float(np.linalg.norm(hand[0] - after.hands[index, 0])) for index in free}
        nearest = min(distance, key=distance.__getitem__, default=None)
        if nearest is not None and distance[nearest] < 2.0 * hand_length_px(hand):
            free.remove(nearest)
            hands.append((1 - share) * hand + share * after.hands[nearest])
        else:
            hands.append(hand)
    hands += [after.hands[index] for index in free]
    mixed = (1 - share) * before.arms + share * after.arms
    arms = np.where(np.isfinite(mixed), mixed, np.where(np.isfinite(before.arms), before.arms, after.arms))
    return Limbs(hands=np.asarray(hands, np.float32).reshape(-1, 21, 2), arms=arms.astype(np.float32))
