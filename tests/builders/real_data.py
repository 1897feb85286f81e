"""Rows of public data sets, in a folder that ``OMNITHINKER_REAL_DATA`` names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_file(name: str) -> Path:
    """The path of a file in the folder; without it, the test is skipped."""
    folder = os.environ.get("OMNITHINKER_REAL_DATA")
    if not folder:
        pytest.skip("OMNITHINKER_REAL_DATA does not name a folder of real rows")
    path = Path(folder, name)
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    return path
