"""Reading data rows from files: JSON Lines, JSON, CSV and Parquet, each also compressed with gzip."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omnithinker.data.plain import plain_row
from omnithinker.data.rows import Row
from omnithinker.errors import BadInput, DataError, reason_of
from omnithinker.io.parsing import json_type, parse_json

PlacedRow = tuple[str, Row]
"""Place of a row, for messages, and the row."""
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
"""Endings of files that can be read; ``.gz`` may follow. Any other file is read as JSON Lines."""


def read_rows(path: str | Path) -> list[PlacedRow]:
    """Read all rows of a file, by the ending of its name.

    Returns:
        (place, row) of every row. The place is ``file:line`` in JSON Lines, else ``file row N``, from 1.

    Raises:
        DataError: if the file is missing, malformed or has no rows.
        BadInput: if the package that reads it is missing.
    """
    path = Path(path)
    content = _content(path)
    kind = Path(path.stem if path.suffix == ".gz" else path.name).suffix
    if kind == ".parquet":
        rows = list(_numbered(path, _parquet_rows(path, content)))
    else:
        text = _text(path, content)
        if kind == ".csv":
            rows = list(_numbered(path, _csv_rows(path, text)))
        elif kind == ".json" and (whole := _json_rows(path, text)) is not None:
            rows = list(_numbered(path, whole))
        else:
            rows = list(_line_rows(path, text))
    if not rows:
        raise DataError(f"{path}: has no rows")
    return rows


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a complete gzip file: {error}") from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error


def _numbered(path: Path, rows: Iterable[Any]) -> Iterator[PlacedRow]:
    for number, row in enumerate(rows, start=1):
        place = f"{path} row {number}"
        _check_object(row, place, "")
        yield place, plain_row(row, place)


def _check_object(row: Any, place: str, shown: str) -> None:
    if not isinstance(row, dict):
        raise DataError(f'{place}: expected an object like {{"prompt": ...}}, got {shown or json_type(row)}')


def _line_rows(path: Path, text: str) -> Iterator[PlacedRow]:
    # Not splitlines(): JSON strings may contain other characters that it treats as line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = parse_json(line)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        _check_object(row, place, line.strip()[:40])
        if "\\u" in line:
            _check_characters(row, place)
        yield place, row


def _check_characters(row: Row, place: str) -> None:
    """Check that every field can be encoded: neither tokenizers nor files can hold half a character.

    Raises:
        DataError: if a field contains a lone surrogate.
    """
    for name, value in row.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{place}: field {name!r} contains half a character (\\u{ord(error.object[error.start]):x})"
            ) from error


def _json_rows(path: Path, text: str) -> list[Any] | None:
    """Return the entries of a JSON array; None if the file has one object per line.

    Raises:
        DataError: if it is neither.
    """
    try:
        value = parse_json(text)
    except DataError as error:
        if text.lstrip().startswith("{") and "\n" in text.strip():
            return None
        raise DataError(f"{path}: {error}") from error
    if isinstance(value, list):
        for number, row in enumerate(value, start=1):
            if isinstance(row, dict) and "\\u" in text:
                _check_characters(row, f"{path} row {number}")
        return value
    if isinstance(value, dict) and value and all(isinstance(column, list | dict) for column in value.values()):
        raise DataError(
            f"{path}: an object of columns ({', '.join(map(str, value))[:80]}), not a list of rows; with pandas, write "
            "it with to_json(path, orient='records', lines=True)"
        )
    return None


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    """Yield the rows of a table whose first line names the columns; every value is text."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header) or "" in header:
            raise DataError(f"{path}:1: every column needs a name of its own: {', '.join(header)[:80]}")
        for number, values in enumerate((values for values in reader if values), start=1):
            if len(values) != len(header):
                raise DataError(
                    f"{path} row {number}: {len(values)} values for {len(header)} columns (line {reader.line_num}); "
                    "quote values that contain a comma"
                )
            yield dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _parquet_rows(path: Path, content: bytes) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BadInput(
            f"{path}: Parquet files need the package 'pyarrow': pip install 'omnithinker[parquet]'"
        ) from error
    try:
        file = ParquetFile(io.BytesIO(content))
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise DataError(f"{path}: every column needs a name of its own: {', '.join(names)[:80]}")
        for batch in file.iter_batches():
            yield from batch.to_pylist()
    except DataError:
        raise
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {reason_of(error)}") from error
