"""The field's metrics that are not computed here, each with its reason. Nothing stands in for them under their name."""

from __future__ import annotations

__all__ = ["NEVER_SUBSTITUTED"]

NEVER_SUBSTITUTED = {
    "lse_c": "not implemented: needs SyncNet's weights syncnet_v2.model and its face detector's sfd_face.pth",
    "lse_d": "not implemented: needs SyncNet's weights syncnet_v2.model and its face detector's sfd_face.pth",
    "aue": "needs OpenFace's CSV of both videos (--reference-units, --rendered-units); landmarks give none that compare",
}
"""Metric -> why there is no figure."""
