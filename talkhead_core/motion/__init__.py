"""Optical flow and what it says about transient objects."""
