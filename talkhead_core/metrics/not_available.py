"""The field's metrics that the frames alone do not give, each with its reason. Nothing stands in for them under their name."""

from __future__ import annotations

__all__ = ["NEVER_SUBSTITUTED"]

_SYNC = (
    "needs the sound beside the pictures and SyncNet's weights: 'talkhead evaluate' on the two videos, after 'talkhead models pull syncnet'"
)

NEVER_SUBSTITUTED = {
    "lse_c": _SYNC,
    "lse_d": _SYNC,
    "aue": "needs OpenFace's CSV of both videos, beside each as NAME.au.csv; landmarks give no action units that compare",
}
"""Metric -> why there is no figure."""
