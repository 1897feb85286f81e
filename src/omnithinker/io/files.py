"""Writing results so that a reader never sees half a file."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput, DataError, DiskError

_DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_SQLITE_FAILURES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
}


def make_folder(path: Path) -> Path:
    """Create a folder and prove that it can be written to.

    Raises:
        BadInput: it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"{path}: cannot write here: {error.strerror}; choose another output folder") from error
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders, at any depth, that a killed process left; there must be no other process."""
    for path in list(folder.rglob(".*.tmp")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around whatever writes to ``path``: the disk's refusal becomes one line for the user.

    Raises:
        DiskError: there is no space left, or the disk cannot be written for another reason.
    """
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, sqlite3.Error):
            # The low byte is the kind of error.
            number = _SQLITE_FAILURES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        # Libraries written in Rust, such as safetensors, say the system's number in the text of their own errors.
        if number is None and (said := re.search(r"\(os error (\d+)\)", str(error))):
            number = int(said[1])
        if number not in _DISK_FAILURES:
            raise
        raise DiskError(
            f"{path}: cannot be written: {os.strerror(number)}; make space, then give the same command again: "
            "it goes on from what is on disk"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it.

    Raises:
        DiskError: the disk takes no more; an earlier file of that name is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


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
