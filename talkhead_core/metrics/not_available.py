"""The field's metrics that are not computed here, each with its reason. Nothing stands in for them under their name."""

from __future__ import annotations

__all__ = ["NEVER_SUBSTITUTED"]

NEVER_SUBSTITUTED = {
    "fid": "not implemented: needs the Inception weights pt_inception-2015-12-05-6726825d.pth and thousands of frames",
    "niqe": "not implemented: needs the published model parameters (niqe_modelparameters.mat)",
    "lse_c": "not implemented: needs SyncNet's weights syncnet_v2.model and its face detector's sfd_face.pth",
    "lse_d": "not implemented: needs SyncNet's weights syncnet_v2.model and its face detector's sfd_face.pth",
    "aue": "needs action units from OpenFace for both videos; landmarks give none that compare",
}
"""Metric -> why there is no figure."""
