"""What a file tells about where it comes from: its credentials, and the mark in its pictures."""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from talkhead_core.errors import FootageError, InputError
from talkhead_core.media.video_reader import read_frames, video_info
from talkhead_core.progress import Progress, silent
from talkhead_core.provenance.credentials import Credentials, read_credentials
from talkhead_core.provenance.page_statement import PageEvidence, page_evidence, statement_in
from talkhead_core.provenance.watermark import DEFAULT_KEY
from talkhead_core.provenance.watermark_detector import THRESHOLD, WatermarkVerdict, watermark_in
from talkhead_core.types import Image

__all__ = ["VideoEvidence", "is_page", "verify_file", "verify_page"]

_MOST_FRAMES = 250
_EMBEDDED = re.compile(rb"data:video/mp4;base64,([A-Za-z0-9+/=]+)")
_MP4_SUFFIXES = (".mp4", ".m4v", ".mov")


@dataclass(frozen=True, kw_only=True)
class VideoEvidence:
    """What one video tells.

    Args:
        name: the file, or the file and the number of the video in it.
        credentials: None when it has none.
        watermark: what was found in its pictures.
    """

    name: str
    credentials: Credentials | None
    watermark: WatermarkVerdict

    @property
    def tampered(self) -> bool:
        """Whether the file was changed after it was signed."""
        return self.credentials is not None and self.credentials.state == "invalid"

    @property
    def ai_generated(self) -> bool:
        """Whether anything says so: credentials, or talkhead's mark."""
        return self.watermark.found or (self.credentials is not None and self.credentials.ai_generated)

    def sentence(self) -> str:
        """The verdict in one line."""
        bears = "its pictures bear talkhead's mark: AI-generated" if self.watermark.found else "no mark was found in its pictures"
        if self.credentials is None:
            return f"no credentials; {bears}"
        if self.tampered:
            return f"changed after signing, or badly signed: its credentials do not match it; {bears}"
        who = "a signer that is trusted" if self.credentials.state == "trusted" else "a signer whom nobody here vouches for"
        says = "AI-generated" if self.credentials.ai_generated else "not that it is AI-generated"
        return f"its credentials are whole, by {who}, and say: {says}; {bears}"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        mark = {"found": self.watermark.found, "score": round(self.watermark.score, 2), "threshold": THRESHOLD}
        return {
            "name": self.name,
            "ai_generated": self.ai_generated,
            "tampered": self.tampered,
            "credentials": asdict(self.credentials) if self.credentials is not None else None,
            "watermark": {**mark, "frames": self.watermark.frames, "kept": list(self.watermark.kept)},
            "verdict": self.sentence(),
        }


def verify_file(path: Path, *, roots: bytes | None = None, key: str = DEFAULT_KEY, progress: Progress = silent) -> list[VideoEvidence]:
    """Look at a video, or at every video embedded in an HTML report.

    Args:
        path: the file.
        roots: PEM of the root certificates to trust.
        key: whose mark to look for.
        progress: told after each frame.

    Raises:
        FootageError: not a video.
        InputError: a page that embeds no whole video and says nothing of itself.
    """
    if not is_page(path):
        return [_verify_video(path, str(path), roots, key, progress)]
    with tempfile.TemporaryDirectory(prefix="talkhead-verify-") as folder:
        content = _page_content(path)
        videos = list(_embedded_videos(path, content, Path(folder)))
        if not videos and statement_in(content) is None:
            raise InputError(f"{path}: embeds no video and says nothing of itself; give a report of talkhead, or a video")
        return [_verify_video(video, f"{path}, video {index + 1}", roots, key, progress) for index, video in enumerate(videos)]


def verify_page(path: Path, key: str = DEFAULT_KEY) -> PageEvidence:
    """What an HTML page says of its pictures, and how many of its still pictures bear the mark of ``key``.

    Raises:
        InputError: it cannot be read.
    """
    return page_evidence(_page_content(path), key)


def is_page(path: Path) -> bool:
    """Whether a file is taken for an HTML page."""
    return path.suffix.lower() in (".html", ".htm")


def _verify_video(video: Path, name: str, roots: bytes | None, key: str, progress: Progress) -> VideoEvidence:
    info = video_info(video)
    credentials = read_credentials(video, roots) if video.suffix.lower() in _MP4_SUFFIXES else None
    verdict = watermark_in(_sampled(video, info.frames, progress), key)
    return VideoEvidence(name=name, credentials=credentials, watermark=verdict)


def _sampled(video: Path, frames: int, progress: Progress) -> Iterator[Image]:
    """Frames spread over the video, up to where it is damaged."""
    stride, index = max(1, -(-frames // _MOST_FRAMES)), 0
    try:
        for index, frame in enumerate(read_frames(video)):
            if index % stride == 0:
                yield frame
            progress(index + 1, max(frames, index + 1), "pictures")
    except FootageError:
        if not index:
            raise


def _page_content(page: Path) -> bytes:
    try:
        return page.read_bytes()
    except OSError as error:
        raise InputError(f"{page}: cannot be read ({error.strerror})") from error


def _embedded_videos(page: Path, content: bytes, folder: Path) -> Iterator[Path]:
    for index, match in enumerate(_EMBEDDED.finditer(content)):
        video = folder / f"{index}.mp4"
        try:
            video.write_bytes(base64.b64decode(match.group(1), validate=True))
        except binascii.Error as error:
            raise InputError(f"{page}: video {index + 1} in it is not whole ({error})") from error
        yield video
