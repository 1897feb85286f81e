"""Files of rows: JSON Lines, JSON, CSV and Parquet, plain and compressed."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json

import pytest

from omnithinker.data.files import read_rows
from omnithinker.errors import DataError

ROWS = [{"question": "1 + 1, or\nmore?", "answer": "2"}, {"question": 'say "ü"', "answer": "ü"}]


def as_jsonl(rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_json(rows):
    return json.dumps(rows, indent=1).encode()


def as_csv(rows):
    quoted = ['"' + value.replace('"', '""') + '"' for row in rows for value in row.values()]
    lines = [",".join(quoted[at : at + 2]) for at in range(0, len(quoted), 2)]
    return ("\r\n".join(["question,answer", *lines]) + "\r\n").encode("utf-8-sig")


def as_parquet(rows):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


WRITERS = {"jsonl": as_jsonl, "json": as_json, "csv": as_csv, "parquet": as_parquet}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_gives_the_same_rows(kind, packed, tmp_path):
    content = WRITERS[kind](ROWS)
    path = tmp_path / (f"rows.{kind}.gz" if packed else f"rows.{kind}")
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    read = read_rows(path)
    assert [row for _, row in read] == ROWS
    assert [place for place, _ in read] == (
        [f"{path}:1", f"{path}:2"] if kind == "jsonl" else [f"{path} row 1", f"{path} row 2"]
    )


def test_a_json_file_may_have_one_object_per_line(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(as_jsonl(ROWS))
    assert read_rows(path) == [(f"{path}:1", ROWS[0]), (f"{path}:2", ROWS[1])]
    path.write_bytes(as_jsonl(ROWS[:1]))
    assert read_rows(path) == [(f"{path}:1", ROWS[0])]


def test_values_of_a_table_become_json(tmp_path):
    row = {
        "messages": [{"role": "user", "content": "hi"}],
        "day": datetime.date(2024, 5, 6),
        "price": decimal.Decimal("1.50"),
        "missing": float("nan"),
        "score": 0.5,
        "__index_level_0__": 7,
    }
    path = tmp_path / "rows.parquet"
    path.write_bytes(as_parquet([row]))
    (read,) = [row for _, row in read_rows(path)]
    assert read == {
        "messages": [{"role": "user", "content": "hi"}],
        "day": "2024-05-06",
        "price": "1.50",
        "missing": None,
        "score": 0.5,
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            b'{"question": ["a"], "answer": ["b"]}',
            "rows: an object of columns (question, answer), not a list",
        ),
        ("a.json", b'{"question": {"0": "a"}}', "an object of columns (question), not a list of rows"),
        ("a.json", b'[{"a": 1}, 7]', "a.json row 2: expected an object"),
        ("a.json", b'[{"a": "\\ud800"}]', "a.json row 1: field 'a' contains half a character"),
        ("a.json", b"[1, 2", "a.json: not valid JSON"),
        ("a.json", b"[]", "a.json: has no rows"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv row 2: 1 values for 2 columns (line 3); quote values"),
        ("a.csv", b"a,a\n1,2\n", "a.csv:1: every column needs a name of its own: a, a"),
        ("a.csv", b'a,b\n"1,2\n', "a.csv:2: not valid CSV"),
        ("a.csv", b"a,b\n", "a.csv: has no rows"),
        ("a.csv", b"a,b\n\xff,2\n", "a.csv: not a text file (byte 4 is not UTF-8)"),
        ("a.jsonl.gz", b'{"a": 1}', "a.jsonl.gz: not a complete gzip file"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}', mtime=0)[:-4], "a.jsonl.gz: not a complete gzip file"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n7', mtime=0), "a.jsonl.gz:2: expected an object"),
        ("a.json", b'[{"a": ' + b"[" * 600 + b"]" * 600 + b"}]", "a.json: not valid JSON: nested too deeply"),
        ("a.parquet", b"PAR1", "a.parquet: not a readable Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert message.removeprefix("rows: ") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"bytes": b"\x89PNG", "path": None}, "rows.parquet row 2: field 'image.bytes' holds binary data; remove"),
        ([float("inf")], "rows.parquet row 2: field 'image.0' is infinite"),
    ],
)
def test_values_that_no_text_model_can_use_are_named(value, message, tmp_path):
    empty = {"bytes": None, "path": None} if isinstance(value, dict) else [0.0]
    path = tmp_path / "rows.parquet"
    path.write_bytes(as_parquet([{"image": empty}, {"image": value}]))
    with pytest.raises(DataError, match=message.replace("[", r"\[")):
        read_rows(path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"need the package 'pyarrow': pip install 'omnithinker\[parquet\]'"):
        read_rows(tmp_path / "rows.parquet")


def test_a_column_that_occurs_twice(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    from pyarrow import parquet

    columns = [pyarrow.array([text]) for text in "xyz"]
    parquet.write_table(pyarrow.table(columns, names=["prompt", "answer", "answer"]), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="every column needs a name of its own: prompt, answer, answer"):
        read_rows(tmp_path / "rows.parquet")
