"""The official weight files that optional back ends need: where they come from, under which licence, how to use them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "WeightFile", "WeightSet"]


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One file.

    Args:
        file: its path inside the weights folder.
        source: where it is published.
        sha256: its hash, or the leading digits that its publisher states; empty where none is stated: then the hash of the
            first download is kept, and later ones must agree with it.
    """

    file: str
    source: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class WeightSet:
    """What ``talkhead models pull NAME`` fetches.

    Args:
        name: as it is asked for.
        files: what it consists of.
        licence: of the files, as published.
        use: what a user sets to use it.
    """

    name: str
    files: tuple[WeightFile, ...]
    licence: str
    use: str


_SETS = (
    WeightSet(
        name="face_landmarker",
        files=(
            WeightFile(
                file="face_landmarker.task",
                source="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
                sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            ),
        ),
        licence="Apache-2.0",
        use="landmarks: {landmarker: face_landmarker, weights: weights/face_landmarker.task}",
    ),
    WeightSet(
        name="fan",
        files=(
            WeightFile(
                file="2DFAN4-11f355bf06.pth.tar",
                source="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
                sha256="11f355bf06",
            ),
            WeightFile(
                file="s3fd-619a316812.pth",
                source="https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
                sha256="619a316812",
            ),
        ),
        licence="BSD-3-Clause",
        use="landmarks: {landmarker: fan, weights: weights}  # and pip install '.[fan]'",
    ),
    WeightSet(
        name="lpips-alexnet",
        files=(
            WeightFile(
                file="alexnet-owt-7be5be79.pth",
                source="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
                sha256="7be5be79",
            ),
            WeightFile(
                file="lpips-alex-v0.1.pth",
                source="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
            ),
        ),
        licence="BSD-3-Clause (AlexNet), BSD-2-Clause (LPIPS)",
        use="nothing: the stage evaluate and 'talkhead evaluate' take it when it is there",
    ),
    WeightSet(
        name="zipenhancer",
        files=(
            WeightFile(
                file="zipenhancer/pytorch_model.bin",
                source="https://www.modelscope.cn/models/iic/speech_zipenhancer_ans_multiloss_16k_base/resolve/master/pytorch_model.bin",
            ),
        ),
        licence="Apache-2.0",
        use="denoise: {method: zipenhancer, weights: weights/zipenhancer}",
    ),
    WeightSet(
        name="lama",
        files=(
            WeightFile(
                file="big-lama.pt",
                source="https://github.com/enesmsahin/simple-lama-inpainting/releases/download/v0.1.0/big-lama.pt",
            ),
        ),
        licence="Apache-2.0",
        use="inpaint: {method: lama, weights: weights/big-lama.pt}",
    ),
    WeightSet(
        name="raft_small",
        files=(
            WeightFile(
                file="raft_small_C_T_V2-01064c6d.pth",
                source="https://download.pytorch.org/models/raft_small_C_T_V2-01064c6d.pth",
                sha256="01064c6d",
            ),
        ),
        licence="BSD-3-Clause",
        use="flow_masks: {method: raft_small, weights: weights/raft_small_C_T_V2-01064c6d.pth}",
    ),
    WeightSet(
        name="gmflow",
        files=(
            WeightFile(
                file="gmflow_sintel-0c07dcb3.pth",
                source="https://huggingface.co/PKUWilliamYang/Rerender/resolve/main/models/gmflow_sintel-0c07dcb3.pth",
                sha256="0c07dcb3",
            ),
        ),
        licence="Apache-2.0",
        use="flow_masks: {method: gmflow, weights: weights/gmflow_sintel-0c07dcb3.pth}",
    ),
)

CATALOGUE: dict[str, WeightSet] = {each.name: each for each in _SETS}
"""Every set by name."""
