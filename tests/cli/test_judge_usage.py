"""Commands without a run folder say on standard error what judges did, however they end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from omnithinker.cli import main
from tests.builders.fake_endpoint import FakeEndpoint, Reply
from tests.builders.judged import RECIPE

LINE = {"prompt": "Write.", "reference": "A reference.", "completion": "Some text."}


@pytest.fixture
def recipe(tmp_path: Path, model_folder: Path, server: FakeEndpoint) -> str:
    """A judged task of six rows, asked one at a time; every call costs 1."""
    rows = [json.dumps({"prompt": f"Write {i}.", "reference": "A reference of some length."}) for i in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    path = tmp_path / "recipe.toml"
    text = RECIPE.format(model=model_folder, url=server.url, cache="cache.sqlite")
    path.write_text(text.replace("concurrency = 4", "concurrency = 1\nretries = 0"))
    return str(path)


@pytest.fixture
def score(recipe, monkeypatch):
    def run(*lines: object) -> int:
        text = "\n".join(map(json.dumps, lines)).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return main(["score", recipe])

    return run


def interrupt(body: dict) -> Reply:
    """Ctrl-C while this request waits for its reply."""
    os.kill(os.getpid(), signal.SIGINT)
    return Reply(hang=True)


def paid() -> Reply:
    return Reply(tokens=(1_000_000, 0))


def test_score_says_what_a_judge_did_and_what_it_cost(score, server, capsys):
    server.replies = [paid(), Reply("no", status=400)]
    assert score(LINE, LINE) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["causes"] for line in out.splitlines()] == [{}, {"pairwise_judge": "judge_refused"}]
    assert err == "judge default: 1 calls, 0 from the cache, 1 failed, cost 1\n"
    assert score(LINE) == 0
    assert capsys.readouterr().err == "judge default: 0 calls, 1 from the cache\n"


def test_score_says_it_after_an_error(score, server, capsys):
    server.replies = [paid()]
    assert score(LINE, {"completion": 1}) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "judge default: 1 calls, 0 from the cache, cost 1"
    assert said[1].startswith("omnithinker score: standard input:2: ")


def test_score_says_it_when_interrupted(score, server, capsys):
    server.replies, server.answer = [paid()], interrupt
    assert score(LINE, LINE) == 130
    out, err = capsys.readouterr()
    assert len(out.splitlines()) <= 1
    assert err.startswith("judge default: 1 calls, 0 from the cache, cost 1\n")


def test_nothing_is_said_where_no_judge_was_asked(score, capsys):
    assert score(LINE | {"completion": ""}) == 0  # an empty text is 0 without a call
    assert capsys.readouterr().err == ""


def test_evaluate_says_it_and_prints_json_alone(recipe, server, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", recipe, "--json"]) == 0
    out, err = capsys.readouterr()
    calls = len(server.requests)
    assert json.loads(out)["writing"]["n"] == 4
    # An item that is answered alike with and without chance is judged once.
    assert 4 <= calls <= 8
    said = err.splitlines()
    assert said[-2] == f"judge default: {calls} calls, {8 - calls} from the cache, cost {calls}"
    assert said[-1] == "all completions: runs/recipe-evaluate/base.jsonl"


def test_evaluate_says_it_when_interrupted(recipe, server, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.replies, server.answer = [paid()], interrupt
    assert main(["evaluate", recipe]) == 130
    said = capsys.readouterr().err.splitlines()
    assert said[-3:-1] == ["judge default: 1 calls, 0 from the cache, cost 1", ""]


def test_evaluate_says_it_after_an_error(recipe, server, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.answer = lambda body: Reply("no", status=400)
    assert main(["evaluate", recipe]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-2] == "judge default: 0 calls, 0 from the cache, 8 failed"
    assert "no held-out item has a defined outcome (judge_refused)" in said[-1]
    saved = [json.loads(line) for line in (tmp_path / "runs/recipe-evaluate/base.jsonl").read_text().splitlines()]
    assert [record["causes"] for record in saved] == [{"pairwise_judge": "judge_refused"}] * 8


def test_a_reader_that_leaves_early_is_told_too(recipe):
    lines = "\n".join([json.dumps(LINE)] * 200)
    command = f"{sys.executable} -m omnithinker score {recipe} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.startswith("judge default: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_score_replays_what_was_paid_for_before_a_signal(recipe, score, server, capsys, monkeypatch, tmp_path, number):
    monkeypatch.chdir(tmp_path)
    path = Path(recipe)
    path.write_text(path.read_text().replace('cache = "cache.sqlite"\n', ""))

    def stop(body: dict) -> Reply:
        os.kill(os.getpid(), number)
        return Reply(hang=True)

    lines = [LINE, LINE | {"completion": "Other text."}]
    server.replies = [paid()]
    server.answer = stop
    assert score(*lines) == 130
    err = capsys.readouterr().err
    assert err.startswith("judge default: 1 calls, 0 from the cache")
    assert err.endswith("\nomnithinker score: interrupted\n")
    server.answer = lambda body: paid()
    assert score(*lines) == 0
    assert capsys.readouterr().err == "judge default: 1 calls, 1 from the cache, cost 1\n"
    assert (tmp_path / "runs/recipe-score/default.sqlite").exists()
