"""Whether a newly trained model may take the place of the one in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flows.model_versions import ModelVersion, add_version, read_history, trained_outputs, trained_scores
from flows.version_workspace import make_version_workspace
from flows.workspace import Workspace
from talkhead_core.parameters import require

__all__ = ["Promotion", "PromotionRule", "promote_if_as_good", "shortcomings"]


@dataclass(frozen=True, kw_only=True)
class PromotionRule:
    """What a new model must reach on its held-out frames.

    Args:
        higher: scores that must not be lower than those of the model in use.
        lower: scores that must not be higher.
        tolerance: the share of the old score by which a new one may be worse; scores of two trainings differ a little by chance.
    """

    higher: tuple[str, ...] = ("psnr_face",)
    lower: tuple[str, ...] = ("lmd_px512",)
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        require(bool(self.higher or self.lower), "a promotion rule needs at least one score")
        require(0.0 <= self.tolerance < 1.0, f"tolerance must be in [0, 1), not {self.tolerance}")


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What became of a newly trained model; ``reasons`` says why it was not taken, and is empty when it was."""

    version: ModelVersion
    reasons: tuple[str, ...]
    scores: Mapping[str, float]

    @property
    def taken(self) -> bool:
        """Whether the new model is in use."""
        return not self.reasons


def promote_if_as_good(workspace: Workspace, speaker: str, reason: str, rule: PromotionRule) -> Promotion:
    """Point at what is trained now if it scores at least as well as the version in use, or if there is none.

    Raises:
        TalkheadError: the speaker is not trained.
    """
    history, scores = read_history(workspace, speaker), trained_scores(workspace, speaker)
    if history is not None:
        in_use = history.version()
        same = in_use.outputs == trained_outputs(workspace, speaker)
        reasons = () if same else shortcomings(in_use.scores, scores, rule)
        if reasons or same:
            return Promotion(version=in_use, reasons=reasons, scores=scores)
    version = add_version(workspace, speaker, reason)
    make_version_workspace(workspace, speaker, version)
    return Promotion(version=version, reasons=(), scores=scores)


def shortcomings(old: Mapping[str, float], new: Mapping[str, float], rule: PromotionRule) -> tuple[str, ...]:
    """Each score in which ``new`` does not reach ``old``, in words; a score that only the old model has is one."""
    found = []
    for name, sign in [*((name, 1.0) for name in rule.higher), *((name, -1.0) for name in rule.lower)]:
        if name not in old:
            continue
        if name not in new:
            found.append(f"{name} was not measured (in use: {old[name]:.4g})")
        elif sign * new[name] < sign * old[name] - rule.tolerance * abs(old[name]):
            found.append(f"{name} is {new[name]:.4g} (in use: {old[name]:.4g})")
    return tuple(found)
