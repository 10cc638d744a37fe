"""How one video is labelled: what its credentials say, who signs them, and whose mark its pictures get."""

from __future__ import annotations

from dataclasses import dataclass

from talkhead_core.provenance.credentials import Origin, signed
from talkhead_core.provenance.signer import Signer

__all__ = ["VideoLabel"]


@dataclass(frozen=True, kw_only=True)
class VideoLabel:
    """Credentials and mark of one video."""

    origin: Origin
    signer: Signer
    watermark_key: str

    def signed(self, video: bytes) -> bytes:
        """An MP4 in memory with its credentials."""
        return signed(video, self.origin, self.signer)
