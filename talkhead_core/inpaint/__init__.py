"""Removal of hands and passing objects."""
