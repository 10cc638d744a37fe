"""Datasets in other programs' layouts, both ways."""
