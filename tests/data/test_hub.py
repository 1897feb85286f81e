"""Data sets on the hub: names, rows, and messages without a connection."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from omnithinker.cli import main
from omnithinker.config.recipe import Recipe
from omnithinker.data import hub
from omnithinker.data.hub import HubSource, parse_source, read_hub
from omnithinker.errors import DataError
from omnithinker.io.hub import HUB_TIMEOUT_S
from omnithinker.tasks.base import read_split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub:openai/gsm8k", HubSource("openai/gsm8k", "test")),
        ("hub:gsm8k?config=main", HubSource("gsm8k", "test", "main")),
        ("hub:a/b?split=train[:10]&revision=v1.0", HubSource("a/b", "train[:10]", None, "v1.0")),
    ],
)
def test_a_name_with_its_parts(text, expected):
    assert parse_source(text, "test") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hub:a/b/c", "hub:a/b/c: not the name of a data set; write hub:OWNER/NAME"),
        ("hub:", "not the name of a data set"),
        ("hub:a/b?spilt=train", "no part 'spilt'; did you mean 'split'?"),
    ],
)
def test_a_mistake_in_the_name(text, message):
    with pytest.raises(DataError) as caught:
        parse_source(text, "test")
    assert message in str(caught.value)


@pytest.fixture
def hosted(monkeypatch):
    """A hub with one data set; gives the calls."""
    datasets = pytest.importorskip("datasets", reason="needs the extra datasets")
    calls = []

    def load_dataset(name, config, split, revision):
        calls.append((name, config, split, revision))
        if split == "nowhere":
            raise ValueError("Unknown split \"nowhere\". Should be one of ['train'].\nmore")
        rows = [{"question": f"{split} {number}", "answer": str(number), "none": None} for number in range(5)]
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    return calls


def test_both_splits_of_a_data_set(hosted):
    task = {"data": "hub:o/n?config=main&revision=abc", "prompt": "{question}", "rewards": {"short_answer": 1.0}}
    recipe = Recipe.model_validate({"evaluation": {"items": 2}, "tasks": {"t": task | {"train_items": 3}}})
    train, test = (read_split("t", split, recipe) for split in ("train", "test"))
    assert hosted == [("o/n", "main", "train", "abc"), ("o/n", "main", "test", "abc")]
    assert [place for place, _ in train] == ["hub:o/n train row 1", "hub:o/n train row 2", "hub:o/n train row 3"]
    assert [row["question"] for _, row in test] == ["test 0", "test 1"]


def test_errors_of_the_package_are_one_line(hosted):
    with pytest.raises(DataError, match=r"^hub:o/n\?split=nowhere: Unknown split \"nowhere\"[^\n]*$"):
        read_hub("hub:o/n?split=nowhere", "train")


def test_without_a_connection_one_line_says_what_to_do(tmp_path, monkeypatch, capsys):
    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "r.toml").write_text(
        f'output = "{tmp_path}/run"\n[tasks.t]\ndata = "hub:o/n"\nrewards.short_answer = 1.0\n'
    )
    started = time.monotonic()
    with pytest.raises(DataError, match="not in the cache"):
        read_hub("hub:o/n", "train")
    assert time.monotonic() - started < HUB_TIMEOUT_S + 1
    assert main(["evaluate", str(tmp_path / "r.toml"), "--model", "lab"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "hub:o/n: not in the cache, and http" in error
    assert "run the command once with a connection, or name files of the data set with 'train' and 'test'" in error


OFFLINE = """
import sys
from huggingface_hub import constants
constants.ENDPOINT = "http://127.0.0.1:9"
from omnithinker.cli import main
print(main(sys.argv[1:]), *sorted({"torch", "transformers", "datasets"} & set(sys.modules)))
"""


@pytest.mark.parametrize("command", ["evaluate", "train", "check", "sft", "study"])
def test_nothing_slow_is_imported_before_the_data_are_known_to_be_there(command, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'output = "{tmp_path}/run"\n[tasks.t]\ndata = "hub:o/n"\ndemonstration = "x"\nrewards.short_answer = 1.0\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, command, str(recipe)],
        env=os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2\n", done.stderr
    assert done.stderr.count("\n") == 1
    assert "hub:o/n: not in the cache, and http" in done.stderr
