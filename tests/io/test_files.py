"""Files of run folders: leftovers, and places where no file can be written."""

from __future__ import annotations

import pytest

from omnithinker.errors import BadInput
from omnithinker.io.files import make_place, remove_leftovers, write_text

LEFT = [
    ".plan.json.7.tmp",
    ".write-test.7.tmp",
    "eval/.step-1.json.7.tmp",
    "validation/.step-1.json.7.tmp",
    "nonfinite/.step-1.json.7.tmp",
    "checkpoints/.step-1.7.tmp/model.safetensors",
    "checkpoints/.step-1.7.old.tmp/model.safetensors",
    "checkpoints/step-2/.README.md.7.tmp",
]
KEPT = [
    "plan.json",
    ".draft.tmp",
    "notes/.letter.7.tmp",
    "single-math/.result.json.7.tmp",
    "single-math/checkpoints/.step-1.7.tmp/model.safetensors",
]


def test_only_leftovers_of_the_folder_itself_are_removed(tmp_path):
    """Those of a run below may be of a process at work, and all others are the user's."""
    for name in (*LEFT, *KEPT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".link.7.tmp").symlink_to(tmp_path / "notes")
    remove_leftovers(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(KEPT)
    assert not (tmp_path / ".link.7.tmp").is_symlink()


def test_a_folder_with_the_name_of_a_file(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(BadInput, match=f"^{tmp_path}/results: is a folder; give the name of a file$"):
        make_place(tmp_path / "results")
    with pytest.raises(BadInput, match=f"^{tmp_path}/results: cannot be written: Is a directory$"):
        write_text(tmp_path / "results", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
