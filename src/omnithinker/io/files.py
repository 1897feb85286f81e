"""Atomic writing and reading of result files."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput, DataError, DiskError
from omnithinker.io.layout import CHECKPOINTS, EVALUATIONS, NONFINITE, VALIDATIONS
from omnithinker.io.parsing import parse_json

_TEMPORARY = re.compile(r"\..+\.\d+(\.old)?\.tmp")
"""Temporary names: that of the file, and the process."""
_DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_SQLITE_FAILURES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
}


def make_folder(path: Path) -> Path:
    """Create a folder and check that it is writable.

    Raises:
        BadInput: if it is not.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{path}: cannot write here: {error.strerror}; choose another output folder") from error
    return path


def make_place(file: Path) -> Path:
    """Create the folder of a file that will be written, and check that it can be.

    Raises:
        BadInput: if it cannot.
    """
    make_folder(file.parent)
    if file.is_dir():
        raise BadInput(f"{file}: is a folder; give the name of a file")
    return file


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of a killed process from a run or study folder.

    Nothing else is removed, and no folder of another run below: it may be in use.
    """
    for pattern in ("", f"{EVALUATIONS}/", f"{VALIDATIONS}/", f"{NONFINITE}/", f"{CHECKPOINTS}/", f"{CHECKPOINTS}/*/"):
        for path in list(folder.glob(f"{pattern}.*.tmp")):
            if not _TEMPORARY.fullmatch(path.name):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn failures of the disk during a write to ``path`` into one line for the user.

    Raises:
        DiskError: if the disk is full or cannot be written for another reason.
    """
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, sqlite3.Error):
            # The low byte is the primary code.
            number = _SQLITE_FAILURES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        # Libraries in Rust, such as safetensors, have the system's error number in the text of their errors.
        if number is None and (match := re.search(r"\(os error (\d+)\)", str(error))):
            number = int(match[1])
        if number not in _DISK_FAILURES:
            raise
        raise DiskError(
            f"{path}: cannot be written: {os.strerror(number)}; make space and repeat the command, "
            "which resumes from the last checkpoint"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it.

    Raises:
        DiskError: if the disk fails; an existing file of that name is unchanged.
        BadInput: if no such file can be written, as where a folder has its name.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            if error.errno in _DISK_FAILURES:
                raise
            raise BadInput(f"{path}: cannot be written: {error.strerror}") from error


def read_text(path: Path, error: type[BadInput] = DataError) -> str:
    """Read a UTF-8 text file.

    Args:
        path: the file.
        error: type of the exception.

    Raises:
        BadInput: if it cannot be read or is not UTF-8.
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
        DataError: if it is missing or not JSON.
    """
    text = read_text(path)
    try:
        return parse_json(text)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read the records of a log; a last line that a crash cut off is ignored.

    Raises:
        DataError: if a line is JSON but not an object.
    """
    if not path.exists():
        return []
    records = []
    # Not splitlines(): completions may contain other characters that it treats as line ends.
    for number, line in enumerate(read_text(path).split("\n")[:-1], start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: not a JSON object; remove the line")
        records.append(record)
    return records
