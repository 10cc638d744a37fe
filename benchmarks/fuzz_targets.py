"""The parsers of ours that ``benchmarks.fuzz`` feeds: what a whole file of each looks like, how it is spoiled, and what reads it.

A target must read a spoiled file as something right or refuse it with a ``TalkheadError`` of one line, or, for the readers below the
command line, with the error that their docstring names.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

from benchmarks.fuzz_mutations import Mutate, bytes_changed, json_changed, lines_changed
from flows.dubbing import read_manifest
from flows.dvc_locks import kept_dvc_lock
from flows.dvc_stores import lock_references
from flows.model_versions import history_file, read_history
from flows.object_store import ObjectUri
from flows.workspace import Workspace
from talkhead_core.artifacts import read_arrays, read_json, write_arrays
from talkhead_core.audio.denoise.denoiser import DenoiseConfig
from talkhead_core.consent import Consent, read_consent, statement_hash
from talkhead_core.face.head_poses import HeadPoses
from talkhead_core.interop.ad_nerf_import import read_ad_nerf
from talkhead_core.media.audio_file import read_audio, write_audio
from talkhead_core.media.openface_csv import ACTION_UNITS, read_action_units
from talkhead_core.media.probe import probe_video
from talkhead_core.metrics.action_units import action_unit_error
from talkhead_core.metrics.niqe import NIQE_FILE, load_niqe
from talkhead_core.parameters import from_mapping
from talkhead_core.provenance.credentials import Origin, read_credentials, signed
from talkhead_core.provenance.signer import local_signer, read_signer
from talkhead_core.provenance.verification import verify_file
from talkhead_core.speakers import read_speakers, speaker_parameters
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.weights.frozen_graph import frozen_constants
from talkhead_core.weights.official_file import read_state

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser.

    Args:
        file: the name that the spoiled content gets, in an empty folder.
        whole: makes a whole file's content; given an empty folder to work in.
        mutate: how the content is spoiled.
        read: reads it; given the folder.
        refuses: errors beside ``TalkheadError`` by which it may refuse.
        beside: writes what else must lie in the folder.
    """

    file: str
    whole: Callable[[Path], bytes]
    mutate: Mutate
    read: Callable[[Path], object]
    refuses: tuple[type[Exception], ...] = ()
    beside: Callable[[Path], None] = lambda folder: None


# ------------------------------------------------------------------------------------------------------ what a user writes

_MANIFEST = b"speaker,audio,out\nada,speech.wav,a/one.mp4\nbob,s3://bucket/two.wav,two.mp4\n"
_SPEAKERS = (
    b"speakers:\n  ada: {video: data/ada/raw/video.mp4, profile: cpu, config: talkhead}\n  bob: {video: a.mp4, profile: cpu, config: c}\n"
)


def _params(folder: Path) -> bytes:
    content = {
        "denoise": {"method": "auto", "weights": None},
        "profiles": {"cpu": {"denoise": {"method": "none"}}, "full": None},
        "configs": {"talkhead": {}, "c": {"denoise": {}}},
    }
    return yaml.safe_dump(content).encode()


def _resolved(folder: Path) -> object:
    return from_mapping(DenoiseConfig, speaker_parameters(folder, "ada", "denoise"), where="denoise")


def _consent(folder: Path) -> bytes:
    record = Consent(who="Ada", purpose="tests", given_on="2020-01-01", statement_sha256=statement_hash("yes"), until="2999-12-31")
    return json.dumps(record.as_json()).encode()


def _checked_consent(folder: Path) -> None:
    read_consent(folder / "consent.json", "ada").check("ada")


def _uri(folder: Path) -> object:
    return str(ObjectUri.parse((folder / "uri.txt").read_bytes().decode("utf-8", "surrogateescape")) / "x")


# ------------------------------------------------------------------------------------------------- what others' tools write


def _action_units(folder: Path) -> bytes:
    header = "frame, face_id, timestamp, confidence, success, " + ", ".join(f"AU{unit:02}_r" for unit in ACTION_UNITS)
    rows = [f"{row}, 0, {row / 25}, 0.98, 1, " + ", ".join("0.5" for _ in ACTION_UNITS) for row in range(1, 5)]
    return "\n".join([header, *rows]).encode()


def _scored_units(folder: Path) -> object:
    table = read_action_units(folder / "au.csv")
    return action_unit_error(table, table)


def _transforms(folder: Path) -> bytes:
    frames = [{"img_id": n, "aud_id": n, "transform_matrix": np.eye(4).tolist()} for n in range(3)]
    return json.dumps({"focal_len": 900.0, "cx": 8, "cy": 8, "w": 16, "h": 16, "frames": frames}).encode()


def _beside_transforms(folder: Path) -> None:
    (folder / "ori_imgs").mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / "ori_imgs" / f"{number}.jpg"), np.full((16, 16, 3), 90, np.uint8))
    write_audio(folder / "aud.wav", np.zeros(1920, np.float32))


def _poses(folder: Path) -> bytes:
    matrices = np.tile(np.eye(3), (4, 1, 1))
    return HeadPoses(
        frame_id=np.arange(4), rotation=matrices, translation_cm=np.ones((4, 3)), focal_px=900.0, width=64, height=64
    ).to_bytes()


def _graph(folder: Path) -> bytes:
    """A frozen graph of two constants, by hand: there is no TensorFlow here."""

    def part(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def node(name: bytes, shape: tuple[int, ...], values: np.ndarray) -> bytes:
        sides = b"".join(part(2, bytes([1 << 3, side])) for side in shape)
        tensor = bytes([1 << 3, 1]) + part(2, sides) + part(4, values.astype("<f4").tobytes())
        return part(1, part(1, name) + part(2, b"Const") + part(5, part(1, b"value") + part(2, part(8, tensor))))

    return node(b"w", (2, 3), np.arange(6)) + node(b"b", (3, 1), np.ones(1))


def _zipped_graph(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("output_graph.pb", _graph(folder))
    return packed.getvalue()


def _pickled_state(folder: Path) -> bytes:
    packed = io.BytesIO()
    torch.save({"state_dict": {"layer.weight": torch.ones(3, 2), "layer.bias": torch.zeros(3)}}, packed)
    return packed.getvalue()


def _niqe(folder: Path) -> bytes:
    packed = io.BytesIO()
    np.savez(packed, mu_pris_param=np.ones((1, 36)), cov_pris_param=np.eye(36), gaussian_window=np.ones((7, 7)))
    return packed.getvalue()


# ------------------------------------------------------------------------------------------------------- what we write


def _arrays(folder: Path) -> bytes:
    write_arrays(folder / "made", {"frame_id": np.arange(3), "points": np.ones((3, 2), np.float32)}, {"fps": "25/1"})
    content = (folder / "made").read_bytes()
    (folder / "made").unlink()
    return content


def _checkpoint(name: str) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        CheckpointStore(folder / "store").save(3, {"w": torch.ones(4)}, {"rng": [1, 2], "best": 0.5})
        return (folder / "store" / name).read_bytes()

    return make


def _beside_checkpoint(folder: Path) -> None:
    CheckpointStore(folder).save(3, {"w": torch.ones(4)}, {"rng": [1, 2], "best": 0.5})


def _newest_checkpoint(folder: Path) -> object:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it was set aside is said by a warning
        return CheckpointStore(folder).latest()


_VERSION = {
    "number": 1,
    "made_on": "2026-01-01T00:00:00+00:00",
    "reason": "talkhead run",
    "speaker": {"video": "data/ada/raw/video.mp4", "profile": "cpu", "config": "talkhead"},
    "recording_sha256": "a" * 64,
    "outputs": {"data/ada/ingest/clip.mkv": "b" * 32},
    "scores": {"face_psnr_db": 31.5},
    "params": "denoise: {}",
}
_HISTORY = json.dumps({"current": 1, "versions": [_VERSION]}).encode()


def _history_read(folder: Path) -> object:
    path = history_file(Workspace(folder), "ada")
    path.parent.mkdir(parents=True)
    (folder / "history.json").rename(path)
    return read_history(Workspace(folder), "ada")


_LOCK = (
    "schema: '2.0'\nstages:\n  ingest@ada:\n    cmd: exec python -m tasks.ingest --speaker ada\n    deps:\n    - path: a\n      hash: md5\n"
    f"      md5: {'a' * 32}\n      size: 3\n    outs:\n    - path: data/ada/ingest/clip.mkv\n      hash: md5\n      md5: {'b' * 32}\n"
).encode()


def _lock_read(folder: Path) -> object:
    with kept_dvc_lock(Workspace(folder)):
        pass
    return lock_references(Workspace(folder), "ada")


# ----------------------------------------------------------------------------------------------------- media and credentials


@cache
def _video() -> bytes:
    import av

    packed = io.BytesIO()
    noise = np.random.default_rng(0)
    with av.open(packed, "w", format="mp4") as container:
        picture = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        assert isinstance(picture, av.VideoStream)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        assert isinstance(sound, av.AudioStream)
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.roll(np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 200, number, 1), format="rgb24")
            container.mux(picture.encode(frame))
        samples = noise.normal(0, 0.1, (1, 8000)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(sound.encode(frame))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return packed.getvalue()


def _wave(folder: Path) -> bytes:
    write_audio(folder / "made.wav", np.sin(np.arange(4000) / 9).astype(np.float32))
    content = (folder / "made.wav").read_bytes()
    (folder / "made.wav").unlink()
    return content


@cache
def _signed_video() -> bytes:
    import tempfile

    origin = Origin(
        title="t", kind="dub", model="ada", model_sha256="0" * 64, data_sha256={"speech": "1" * 64}, composite=True, synthetic_speaker=True,
        consent_sha256="2" * 64, watermark=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return signed(_video(), origin, local_signer(Path(folder) / "signer.pem"))


def _page(folder: Path) -> bytes:
    return b'<video src="data:video/mp4;base64,' + base64.b64encode(_video()) + b'"></video>'


def _signer(folder: Path) -> bytes:
    local_signer(folder / "made.pem")
    content = (folder / "made.pem").read_bytes()
    (folder / "made.pem").unlink()
    return content


def _read(file: str, reader: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda folder: reader(folder / file)


def _just(content: bytes) -> Callable[[Path], bytes]:
    return lambda folder: content


TARGETS: dict[str, Target] = {
    "manifest": Target(
        file="batch.csv",
        whole=_just(_MANIFEST),
        mutate=lines_changed,
        read=lambda folder: read_manifest(folder / "batch.csv", folder / "out"),
    ),
    "params.yaml": Target(
        file="params.yaml",
        whole=_params,
        mutate=bytes_changed,
        read=_resolved,
        beside=lambda folder: void((folder / "speakers.yaml").write_bytes(_SPEAKERS)),
    ),
    "params.yaml, by value": Target(
        file="params.yaml",
        whole=lambda folder: json.dumps(yaml.safe_load(_params(folder))).encode(),
        mutate=json_changed,
        read=_resolved,
        beside=lambda folder: void((folder / "speakers.yaml").write_bytes(_SPEAKERS)),
    ),
    "speakers.yaml": Target(file="speakers.yaml", whole=_just(_SPEAKERS), mutate=bytes_changed, read=_read("speakers.yaml", read_speakers)),
    "speakers.yaml, by value": Target(
        file="speakers.yaml",
        whole=_just(json.dumps(yaml.safe_load(_SPEAKERS)).encode()),
        mutate=json_changed,
        read=_read("speakers.yaml", read_speakers),
    ),
    "consent record": Target(file="consent.json", whole=_consent, mutate=json_changed, read=_checked_consent),
    "address in an object store": Target(
        file="uri.txt", whole=_just(b"s3://bucket/some/prefix/of_it.mp4"), mutate=bytes_changed, read=_uri
    ),
    "OpenFace's CSV": Target(file="au.csv", whole=_action_units, mutate=lines_changed, read=_scored_units),
    "AD-NeRF's transforms": Target(
        file="transforms_train.json", whole=_transforms, mutate=json_changed, read=read_ad_nerf, beside=_beside_transforms
    ),
    "head poses": Target(
        file="poses",
        whole=_poses,
        mutate=bytes_changed,
        read=_read("poses", lambda path: HeadPoses.from_bytes(path.read_bytes())),
        refuses=(ValueError,),
    ),
    "frozen graph": Target(
        file="graph.pb", whole=_graph, mutate=bytes_changed, read=_read("graph.pb", frozen_constants), refuses=(ValueError,)
    ),
    "frozen graph in an archive": Target(
        file="graph.zip", whole=_zipped_graph, mutate=bytes_changed, read=_read("graph.zip", frozen_constants), refuses=(ValueError,)
    ),
    "weights in PyTorch's format": Target(
        file="w.pth", whole=_pickled_state, mutate=bytes_changed, read=_read("w.pth", lambda path: read_state(path, "hubert"))
    ),
    "weights as safetensors": Target(
        file="w.safetensors", whole=_arrays, mutate=bytes_changed, read=_read("w.safetensors", lambda path: read_state(path, "hubert"))
    ),
    "NIQE's parameters": Target(file=NIQE_FILE, whole=_niqe, mutate=bytes_changed, read=load_niqe),
    "arrays": Target(file="a.safetensors", whole=_arrays, mutate=bytes_changed, read=_read("a.safetensors", read_arrays)),
    "JSON artifact": Target(
        file="a.json",
        whole=_just(b'{"clip": {"fps": "25/1", "frames": 502}, "shots": [[0, 175]]}'),
        mutate=bytes_changed,
        read=_read("a.json", read_json),
    ),
    "checkpoint's arrays": Target(
        file="000000003.safetensors",
        whole=_checkpoint("000000003.safetensors"),
        mutate=bytes_changed,
        read=_newest_checkpoint,
        beside=_beside_checkpoint,
    ),
    "checkpoint's record": Target(
        file="000000003.json", whole=_checkpoint("000000003.json"), mutate=json_changed, read=_newest_checkpoint, beside=_beside_checkpoint
    ),
    "history of versions": Target(file="history.json", whole=_just(_HISTORY), mutate=json_changed, read=_history_read),
    "dvc.lock": Target(file="dvc.lock", whole=_just(_LOCK), mutate=bytes_changed, read=_lock_read),
    "signer": Target(file="signer.pem", whole=_signer, mutate=bytes_changed, read=_read("signer.pem", read_signer)),
    "credentials": Target(file="v.mp4", whole=lambda folder: _signed_video(), mutate=bytes_changed, read=_read("v.mp4", read_credentials)),
    "report with a video": Target(file="page.html", whole=_page, mutate=bytes_changed, read=_read("page.html", verify_file)),
    "video": Target(file="v.mp4", whole=lambda folder: _video(), mutate=bytes_changed, read=_read("v.mp4", probe_video)),
    "sound": Target(file="s.wav", whole=_wave, mutate=bytes_changed, read=_read("s.wav", read_audio)),
}


def void(_: object) -> None:
    """Nothing: for what is called for its effect."""
