"""Writing results so that a reader never sees half a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput, DataError


def make_folder(path: Path) -> Path:
    """Create a folder and prove that it can be written to.

    Raises:
        BadInput: it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"{path}: cannot write here: {error.strerror}; choose another output folder") from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def read_text(path: Path, error: type[BadInput] = DataError) -> str:
    """Read a text file that a user named.

    Raises:
        BadInput: of the type ``error``: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise error(f"{path}: cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not a text file (byte {cause.start} is not UTF-8)") from cause


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is missing or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read records of a log; a last line that was cut off by a crash is left out."""
    if not path.exists():
        return []
    records = []
    # Not splitlines(): what a model said may hold other characters that it takes for line ends.
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
