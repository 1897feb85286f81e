"""Shapes of rows of other programs and data sets, one file each; registered in ``config/registry.py``."""
