"""The official weight files that optional back ends need: where they come from, under which licence, how to use them.

``commercial`` follows the licence that the weights are published under and, where their publisher or the training data's owner says
so, that of the training data. It is what ``--commercial-safe`` goes by, and no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "WeightFile", "WeightSet"]


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One file.

    Args:
        file: its path inside the weights folder.
        source: where it is published.
        size_mb: about how large it is.
        sha256: its hash, or the leading digits that its publisher states; empty where none is stated: then the hash of the
            first download is kept, and later ones must agree with it.
    """

    file: str
    source: str
    size_mb: float
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class WeightSet:
    """What ``talkhead models pull NAME`` fetches.

    Args:
        name: as it is asked for.
        files: what it consists of.
        licence: of the files, as published.
        commercial: whether commercial use is allowed; see the module.
        use: what a user sets to use it.
        chosen_by: ``(section, key, value)`` of ``params.yaml`` with which the output rests on it; empty for what only measures.
        package: what must be installed beside the files.
        extra: the extra of this project that brings it.
    """

    name: str
    files: tuple[WeightFile, ...]
    licence: str
    commercial: bool
    use: str
    chosen_by: tuple[tuple[str, str, str], ...] = ()
    package: str = ""
    extra: str = ""


_HUGGING_FACE = "https://huggingface.co"
_GITHUB = "https://github.com"
_RAW = "https://raw.githubusercontent.com"
_MEASURES = "nothing: the stage evaluate and 'talkhead evaluate' take it when it is there"

_SETS = (
    WeightSet(
        name="face_landmarker",
        files=(
            WeightFile(
                file="face_landmarker.task",
                source="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
                size_mb=3.8,
                sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        use="landmarks: {landmarker: face_landmarker, weights: weights/face_landmarker.task}",
        chosen_by=(("landmarks", "landmarker", "face_landmarker"),),
    ),
    WeightSet(
        name="fan",
        files=(
            WeightFile(
                file="2DFAN4-11f355bf06.pth.tar",
                source="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
                size_mb=95.6,
                sha256="11f355bf06",
            ),
            WeightFile(
                file="s3fd-619a316812.pth",
                source="https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
                size_mb=89.8,
                sha256="619a316812",
            ),
        ),
        licence="BSD-3-Clause; trained on 300W-LP, which is for research only",
        commercial=False,
        use="landmarks: {landmarker: fan, weights: weights}  # and pip install -e '.[fan]'",
        chosen_by=(("landmarks", "landmarker", "fan"),),
        package="face-alignment",
        extra="fan",
    ),
    WeightSet(
        name="bisenet",
        files=(
            WeightFile(
                file="79999_iter.pth",
                source=f"{_RAW}/YudongGuo/AD-NeRF/master/data_util/face_parsing/79999_iter.pth",
                size_mb=53.3,
                sha256="468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
            ),
        ),
        licence="MIT; trained on CelebAMask-HQ, which is for non-commercial research",
        commercial=False,
        use="segment: {segmenter: bisenet, weights: weights/79999_iter.pth}",
        chosen_by=(("segment", "segmenter", "bisenet"),),
    ),
    WeightSet(
        name="hubert",
        files=(
            WeightFile(
                file="hubert/pytorch_model.bin",
                source=f"{_HUGGING_FACE}/facebook/hubert-large-ls960-ft/resolve/main/pytorch_model.bin",
                size_mb=1262.0,
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        use="speech_features: {method: hubert, window: 2, weights: weights/hubert}",
        chosen_by=(("speech_features", "method", "hubert"),),
    ),
    WeightSet(
        name="wav2vec2",
        files=(
            WeightFile(
                file="wav2vec2/pytorch_model.bin",
                source=f"{_HUGGING_FACE}/cpierse/wav2vec2-large-xlsr-53-esperanto/resolve/main/pytorch_model.bin",
                size_mb=1262.0,
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        use="speech_features: {method: wav2vec2, window: 16, weights: weights/wav2vec2}",
        chosen_by=(("speech_features", "method", "wav2vec2"),),
    ),
    WeightSet(
        name="deepspeech",
        files=(
            WeightFile(
                file="deepspeech-0_1_0-b90017e8.pb.zip",
                source=f"{_GITHUB}/osmr/deepspeech_features/releases/download/v0.0.1/deepspeech-0_1_0-b90017e8.pb.zip",
                size_mb=170.0,
            ),
        ),
        licence="MPL-2.0",
        commercial=True,
        use="speech_features: {method: deepspeech, window: 16, weights: weights}",
        chosen_by=(("speech_features", "method", "deepspeech"),),
    ),
    WeightSet(
        name="ave",
        files=(
            WeightFile(
                file="audio_visual_encoder.pth",
                source=f"{_RAW}/ZiqiaoPeng/SyncTalk/main/nerf_triplane/checkpoints/audio_visual_encoder.pth",
                size_mb=11.0,
            ),
        ),
        licence="CC BY-NC 4.0",
        commercial=False,
        use="speech_features: {method: ave, window: 8, weights: weights/audio_visual_encoder.pth}",
        chosen_by=(("speech_features", "method", "ave"),),
    ),
    WeightSet(
        name="dnsmos",
        files=(
            WeightFile(
                file="dnsmos_sig_bak_ovr.onnx",
                source=f"{_RAW}/microsoft/DNS-Challenge/master/DNSMOS/DNSMOS/sig_bak_ovr.onnx",
                size_mb=1.2,
                sha256="269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
            ),
        ),
        licence="CC BY 4.0, its program MIT",
        commercial=True,
        use="nothing: the denoiser 'auto' asks it when it is there",
    ),
    WeightSet(
        name="zipenhancer",
        files=(
            WeightFile(
                file="zipenhancer/pytorch_model.bin",
                source="https://www.modelscope.cn/models/iic/speech_zipenhancer_ans_multiloss_16k_base/resolve/master/pytorch_model.bin",
                size_mb=10.0,
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        use="denoise: {method: zipenhancer, weights: weights/zipenhancer}",
        chosen_by=(("denoise", "method", "zipenhancer"),),
    ),
    WeightSet(
        name="lama",
        files=(
            WeightFile(
                file="big-lama.pt",
                source=f"{_GITHUB}/enesmsahin/simple-lama-inpainting/releases/download/v0.1.0/big-lama.pt",
                size_mb=205.8,
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        use="inpaint: {method: temporal_median_lama, weights: weights/big-lama.pt}",
        chosen_by=(("inpaint", "method", "lama"), ("inpaint", "method", "temporal_median_lama")),
    ),
    WeightSet(
        name="raft_small",
        files=(
            WeightFile(
                file="raft_small_C_T_V2-01064c6d.pth",
                source="https://download.pytorch.org/models/raft_small_C_T_V2-01064c6d.pth",
                size_mb=4.0,
                sha256="01064c6d",
            ),
        ),
        licence="BSD-3-Clause",
        commercial=True,
        use="flow_masks: {method: raft_small, weights: weights/raft_small_C_T_V2-01064c6d.pth}",
        chosen_by=(("flow_masks", "method", "raft_small"),),
    ),
    WeightSet(
        name="gmflow",
        files=(
            WeightFile(
                file="gmflow_sintel-0c07dcb3.pth",
                source=f"{_HUGGING_FACE}/PKUWilliamYang/Rerender/resolve/main/models/gmflow_sintel-0c07dcb3.pth",
                size_mb=18.9,
                sha256="0c07dcb3",
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        use="flow_masks: {method: gmflow, weights: weights/gmflow_sintel-0c07dcb3.pth}",
        chosen_by=(("flow_masks", "method", "gmflow"),),
    ),
    WeightSet(
        name="lpips-alexnet",
        files=(
            WeightFile(
                file="alexnet-owt-7be5be79.pth",
                source="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
                size_mb=244.4,
                sha256="7be5be79",
            ),
            WeightFile(
                file="lpips-alex-v0.1.pth",
                source=f"{_RAW}/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
                size_mb=0.01,
            ),
        ),
        licence="BSD-3-Clause (AlexNet), BSD-2-Clause (LPIPS)",
        commercial=True,
        use=_MEASURES,
    ),
    WeightSet(
        name="inception",
        files=(
            WeightFile(
                file="pt_inception-2015-12-05-6726825d.pth",
                source=f"{_GITHUB}/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
                size_mb=95.6,
                sha256="6726825d",
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        use=_MEASURES,
    ),
    WeightSet(
        name="niqe",
        files=(
            WeightFile(
                file="niqe_pris_params.npz",
                source=f"{_RAW}/XPixelGroup/BasicSR/master/basicsr/metrics/niqe_pris_params.npz",
                size_mb=0.01,
            ),
        ),
        licence="Apache-2.0 (BasicSR); parameters of the University of Texas at Austin, free with attribution",
        commercial=True,
        use=_MEASURES,
    ),
    WeightSet(
        name="syncnet",
        files=(
            WeightFile(
                file="syncnet_v2.model",
                source="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
                size_mb=54.6,
            ),
            WeightFile(
                file="sfd_face.pth",
                source="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/sfd_face.pth",
                size_mb=89.8,
            ),
        ),
        licence="MIT; SyncNet trained on BBC recordings, S3FD on WIDER FACE, which is for research",
        commercial=False,
        use=_MEASURES,
    ),
)

CATALOGUE: dict[str, WeightSet] = {each.name: each for each in _SETS}
"""Every set by name."""
