"""How good a rendered video is: image, sync and motion metrics, per frame and with intervals.

Regions come from the reference only, landmarks are given by the caller, and every aggregate is stored under the name
of its protocol (:mod:`talkhead_core.metrics.protocol`).
"""
