"""Rewards as a registry: a reward is one class, and recipes accept exactly the settings that it declares."""

from __future__ import annotations

import io
import json
import re
from typing import ClassVar, Literal

import pytest

from omnithinker.cli import main
from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import REWARDS
from omnithinker.config.rewards import RewardSettings
from omnithinker.errors import DataError, RecipeError
from omnithinker.rewards.base import Reward
from omnithinker.rewards.components import check_row, gold_fields, reward_class
from omnithinker.rewards.probes import Probe, ProbeContext
from omnithinker.rewards.row_fields import RowField
from omnithinker.types import Prompt, Trajectory
from tests.builders import ROOT


class Words(Reward):
    """1 if the completion has as many words as the row wants, give or take ``tolerance``."""

    class Settings(RewardSettings):
        kind: Literal["words"] = "words"
        deadline_s: float = 12.0
        tolerance: int = 0

    row_fields = (RowField(("count",), (int,)),)
    missing_probe_notes: ClassVar = {"none": "no row has a probe of none"}

    @classmethod
    def build(cls, settings, place, resources):
        return cls(settings.tolerance)

    @classmethod
    def probes(cls, row, context):
        return [
            Probe("as many", "word " * row["count"], 1.0, "count"),
            Probe("too many", "word " * (row["count"] + 9), 0.0, "count"),
        ]

    def __init__(self, tolerance):
        self.tolerance = tolerance

    def score_group(self, prompt, completions):
        wanted = prompt.row["count"]
        return [float(abs(len(c.text.split()) - wanted) <= self.tolerance) for c in completions]


@pytest.fixture
def recipe_file(tmp_path, register):
    """A recipe of one task that uses ``words``, with its rows."""
    register(REWARDS, "words", f"{__name__}:Words")
    for split, count in (("train", 3), ("test", 4)):
        rows = [{"prompt": f"{split} {n}", "count": count + n} for n in range(2)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "r.toml"
    path.write_text(
        '[tasks.t]\ntrain = "train.jsonl"\ntest = "test.jsonl"\nrewards.words = { weight = 0.5, tolerance = 1 }\n'
    )
    return path


def test_a_recipe_reads_and_writes_the_settings_of_a_registered_reward(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file)
    settings = recipe.tasks["t"].rewards["words"]
    assert isinstance(settings, Words.Settings)
    assert (settings.weight, settings.tolerance, settings.deadline_s, settings.primary) == (0.5, 1, 12.0, True)
    assert recipe.essentials()["tasks"]["t"]["rewards"]["words"]["tolerance"] == 1
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "again.toml") == recipe
    recipe_file.write_text(recipe_file.read_text().replace("tolerance", "tolerence"))
    with pytest.raises(RecipeError, match=r"r\.toml:4: unknown key .*\.tolerence'; did you mean 'tolerance'"):
        load_recipe(recipe_file)


def test_check_scores_the_probes_of_a_registered_reward(recipe_file, capsys):
    assert main(["check", str(recipe_file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (component,) = report["rewards"]["components"]
    assert component["kind"] == "words"
    assert {name: (tally["right"], tally["of"]) for name, tally in component["tallies"].items()} == {
        "as many": (4, 4),
        "too many": (4, 4),
    }
    assert report["rewards"]["notes"] == ["tasks.t.rewards.words: no row has a probe of none"]


def test_score_uses_a_registered_reward_and_checks_its_row_fields(recipe_file, capsys, monkeypatch):
    lines = [{"completion": "a b c", "count": 4}, {"completion": "a", "count": 4}, {"completion": "a", "count": "4"}]

    class Input:
        def detach(self):
            return io.BytesIO("\n".join(map(json.dumps, lines)).encode())

    monkeypatch.setattr("sys.stdin", Input())
    assert main(["score", str(recipe_file), "--keep-going"]) == 0
    scored = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record.get("reward") for record in scored] == [0.5, 0.0, None]
    assert scored[0]["components"] == {"words": 1.0}
    assert scored[2]["error"] == "standard input:3: field 'count' must be a number, got text"


def recipe_with(rewards, **more):
    return Recipe.model_validate({"tasks": {"t": {"data": "lab:qa", "rewards": rewards}}, **more})


@pytest.mark.parametrize("kind", list(REWARDS))
def test_every_registered_reward_declares_its_settings(kind):
    reward = REWARDS.load(kind)
    assert issubclass(reward, Reward)
    assert issubclass(reward.Settings, RewardSettings)
    default = reward.Settings.model_fields["kind"].default
    assert default == kind or kind == "python"
    settings = reward.Settings(kind=kind if kind != "python" else "python:a.b:c")
    assert reward_class(settings) is reward
    assert settings.primary is (kind not in ("format", "tags"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "math_answer = { order = 'both' }",
            "unknown key 'tasks.t.rewards.math_answer.order'; known: kind, weight, primary, deadline_s, on_error",
        ),
        ("math_answer = { judge = 'default' }", "unknown key 'tasks.t.rewards.math_answer.judge'"),
        ("short_answer = { chat = true }", "unknown key 'tasks.t.rewards.short_answer.chat'"),
        ("pairwise_judge = { ordr = 'both' }", "pairwise_judge.ordr'; did you mean 'order'?"),
        ("mine = { kind = 'python:a:b', chatt = true }", "mine.chatt'; did you mean 'chat'?"),
        ("pairwise_judge = { order = 'first' }", "pairwise_judge.order: input should be 'random', 'both' or 'fixed'"),
        ("math_anser = 1.0", "tasks.t.rewards.math_anser: no reward 'math_anser'; did you mean 'math_answer'?"),
        ("mine = { kind = 'python:nothing' }", "tasks.t.rewards.mine.kind: string should match pattern"),
        ("format = true", "tasks.t.rewards.format: expected a weight, such as 1.0, or a table of settings"),
        ("format = { weight = 'much' }", "tasks.t.rewards.format.weight: input should be a valid number"),
    ],
)
def test_settings_that_a_reward_does_not_declare_are_errors_with_file_and_line(line, message, tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(f'seed = 1\n[tasks.t]\ndata = "lab:qa"\nrewards.short_answer = 1.0\nrewards.{line}\n')
    if line.startswith("short_answer"):
        path.write_text(path.read_text().replace("rewards.short_answer = 1.0\n", "weight = 1.0\n"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert f"{path}:5: " in str(caught.value)
    assert message in str(caught.value)


def test_a_kind_may_have_another_name_and_names_its_judge():
    recipe = recipe_with({"style": {"kind": "pairwise_judge", "order": "both"}, "format": 0.1})
    settings = recipe.tasks["t"].rewards["style"]
    assert (settings.judges, settings.judge_calls) == (("default",), 2)
    assert recipe.tasks["t"].rewards["format"].judges == ()
    with pytest.raises(ValueError, match=r"tasks\.t\.rewards\.style: no judge named 'gpt'; known: default"):
        recipe_with({"style": {"kind": "pairwise_judge", "judge": "gpt"}})


def test_gold_fields_are_those_of_the_components_in_order():
    rewards = recipe_with({"format": 0.1, "unit_tests": 1.0, "short_answer": 1.0}).tasks["t"].rewards
    assert gold_fields(rewards) == ["tests", "answer"]


def test_all_components_check_a_row():
    rewards = recipe_with({"short_answer": 1.0, "unit_tests": 1.0}).tasks["t"].rewards
    check_row(rewards, {"answers": ["x"], "tests": {"functional": "assert f() == 1"}}, "f:1")
    with pytest.raises(DataError, match=r"f:1: no field 'tests' \(fields: answers\)"):
        check_row(rewards, {"answers": ["x"]}, "f:1")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="reward 'tags' is registered already"):
        REWARDS.register("tags", "nowhere:Nothing")


def test_the_example_in_docs_is_a_reward():
    (source,) = re.findall(r"```python\n(.*?class WordLimit.*?)```", (ROOT / "docs/rewards.md").read_text(), re.DOTALL)
    names = {"__name__": "docs_example"}
    exec(compile(source, "rewards.md", "exec", dont_inherit=True), names)
    reward = names["WordLimit"]
    settings = reward.Settings.model_validate({"kind": "word_limit", "weight": 0.2, "tolerance": 5})
    row = {"words": 3}
    probes = reward.probes(row, ProbeContext(0, (), settings))
    texts = [Trajectory(text=probe.text) for probe in probes]
    scores = reward.build(settings, "here", None).score_group(Prompt(task="t", index=0, text="", row=row), texts)
    assert scores == [probe.expected for probe in probes]
    reward.row_fields[0].check(row, "f:1")
