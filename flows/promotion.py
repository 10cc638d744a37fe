"""Whether a newly trained model may take the place of the one in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from flows.model_versions import ModelVersion, add_version, read_history, recording_sha256, trained_outputs, trained_scores
from flows.stage_runs import StageEvent
from flows.version_comparison import scores_on_this_recording
from flows.version_workspace import make_version_workspace
from flows.workspace import Workspace
from talkhead_core.errors import TalkheadError
from talkhead_core.parameters import require

__all__ = ["OnChangedRecording", "Promotion", "PromotionRule", "promote_if_as_good", "shortcomings"]

OnChangedRecording = Literal["score", "promote", "hold"]


@dataclass(frozen=True, kw_only=True)
class PromotionRule:
    """What a new model must reach on its held-out frames.

    Args:
        higher: scores that must not be lower than those of the model in use.
        lower: scores that must not be higher.
        tolerance: the share of the old score by which a new one may be worse; scores of two trainings differ a little by chance.
        on_changed_recording: what to do where the new model was trained on another recording than the one in use, so that the scores
            that they were kept with do not compare: ``score`` the model in use on the new recording's held-out frames, and hold the
            new one where that cannot be done; ``promote`` the new one whatever it scores; ``hold`` it for a person to decide.
    """

    higher: tuple[str, ...] = ("psnr_face",)
    lower: tuple[str, ...] = ("lmd_px512",)
    tolerance: float = 0.0
    on_changed_recording: OnChangedRecording = "score"

    def __post_init__(self) -> None:
        require(bool(self.higher or self.lower), "a promotion rule needs at least one score")
        require(0.0 <= self.tolerance < 1.0, f"tolerance must be in [0, 1), not {self.tolerance}")
        known, given = get_args(OnChangedRecording), self.on_changed_recording
        require(given in known, f"on_changed_recording must be one of {', '.join(known)}, not {given!r}")


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What became of a newly trained model.

    Args:
        version: the one in use now.
        reasons: why the new model was not taken; empty when it was.
        scores: the new model's.
        compared: what its scores were compared with; empty where it was the first, or of the same recording as the one in use.
    """

    version: ModelVersion
    reasons: tuple[str, ...]
    scores: Mapping[str, float]
    compared: str = ""

    @property
    def taken(self) -> bool:
        """Whether the new model is in use."""
        return not self.reasons


def promote_if_as_good(
    workspace: Workspace, speaker: str, reason: str, rule: PromotionRule, show: Callable[[StageEvent], None] = lambda event: None
) -> Promotion:
    """Point at what is trained now if it scores at least as well as the version in use, or if there is none.

    Args:
        workspace: where.
        speaker: a registered speaker.
        reason: kept with the new version, together with what it was compared with.
        rule: what counts as good.
        show: called with what the stages say where the version in use has to be scored anew.

    Raises:
        TalkheadError: the speaker is not trained.
    """
    history, scores, compared = read_history(workspace, speaker), trained_scores(workspace, speaker), ""
    if history is not None:
        in_use = history.version()
        if in_use.outputs == trained_outputs(workspace, speaker):
            return Promotion(version=in_use, reasons=(), scores=scores)
        if in_use.recording_sha256 == recording_sha256(workspace, speaker):
            reasons = shortcomings(in_use.scores, scores, rule)
        else:
            reasons, compared = _across_recordings(workspace, speaker, in_use, scores, rule, show)
        if reasons:
            return Promotion(version=in_use, reasons=reasons, scores=scores, compared=compared)
    version = add_version(workspace, speaker, f"{reason}: {compared}" if compared else reason)
    make_version_workspace(workspace, speaker, version)
    return Promotion(version=version, reasons=(), scores=scores, compared=compared)


def _across_recordings(
    workspace: Workspace,
    speaker: str,
    in_use: ModelVersion,
    scores: Mapping[str, float],
    rule: PromotionRule,
    show: Callable[[StageEvent], None],
) -> tuple[tuple[str, ...], str]:
    """The shortcomings of a model of another recording than that of the one in use, and what it was compared with."""
    other = f"another recording than version {in_use.number}'s"
    if rule.on_changed_recording == "promote":
        return (), f"{other}, promoted without a comparison"
    by_hand = f"'talkhead versions promote --speaker {speaker}' takes it"
    if rule.on_changed_recording == "hold":
        return (f"{other}: the scores do not compare; {by_hand}",), "nothing"
    try:
        old = scores_on_this_recording(workspace, speaker, in_use, show)
    except TalkheadError as error:
        return (f"{other}, on which that one cannot be scored ({' '.join(str(error).split())}); {by_hand}",), "nothing"
    shown = ", ".join(f"{name} {old[name]:.4g}" for name in (*rule.higher, *rule.lower) if name in old)
    if not shown:
        return (f"{other}, on which none of the scores of that one can be measured; {by_hand}",), "nothing"
    return shortcomings(old, scores, rule), f"version {in_use.number} on the new recording's held-out frames ({shown})"


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
