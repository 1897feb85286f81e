"""The model card of a finished run, and its upload to a hub that tests play."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from omnithinker.cli import main
from omnithinker.config.recipe import Recipe
from omnithinker.errors import BadInput
from omnithinker.schedules.plan import RunPlan
from omnithinker.train.card import model_card
from omnithinker.train.push import push_run
from omnithinker.types import EvalResult
from tests.builders.policy import LORA

RESULT = EvalResult(
    task="math",
    n=200,
    accuracy=0.625,
    standard_error=0.03425,
    outcomes=(),
    sampled_accuracy=0.5,
    sampled_standard_error=0.035,
    entropy=None,
    components={},
    length=9.0,
    truncated=0.0,
    undefined=0,
)


class Api:
    """Keeps what it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.told, self.error = [], error

    def create_repo(self, name, **settings):
        if self.error:
            raise self.error
        self.told.append((name, settings))
        return f"https://hub.example/{name}"

    def upload_folder(self, **settings):
        self.told.append(settings)


@pytest.fixture
def finished(recipe, tmp_path) -> Path:
    """The folder of a finished run."""
    folder = tmp_path / "run"
    assert main(["train", str(recipe), "--task", "up", "--output", str(folder)]) == 0
    return folder


def card_of(model: dict, **settings) -> str:
    tasks = {"math": {"train": "/home/me/rows.jsonl", "test": "/home/me/t.jsonl", "rewards": {"math_answer": 1.0}}}
    recipe = Recipe.model_validate({"model": model, "tasks": tasks, **settings})
    return model_card(recipe, RunPlan("curriculum", ("math",), 7), {"math": RESULT}, steps=9, measured_step=4)


def test_a_card_by_hand():
    card = card_of({"path": "Qwen/Qwen3-0.6B"})
    head, body = card.removeprefix("---\n").split("\n---\n", 1)
    assert head.splitlines() == [
        "library_name: transformers",
        "base_model: Qwen/Qwen3-0.6B",
        "pipeline_tag: text-generation",
        "tags: [omnithinker, grpo, reinforcement-learning]",
    ]
    assert "- Base model: Qwen/Qwen3-0.6B\n" in body
    assert "; single-task math, seed 7\n- Steps: 9; these are the weights of step 4, the best in validation\n" in body
    assert "| math | 200 | 0.625 ± 0.034 | 0.500 ± 0.035 | undefined |" in body
    assert 'AutoModelForCausalLM.from_pretrained(".")' in body
    assert 'train = "rows.jsonl"' in body


def test_a_card_tells_nothing_of_this_machine(tmp_path):
    judge = {"kind": "chat", "model": "m", "base_url": "https://me:hunter2@judge.example/v1", "cache": "/home/me/c"}
    (tmp_path / "base").mkdir()
    card = card_of({"path": str(tmp_path / "base")} | LORA, judges={"default": judge}, output="/home/me/runs")
    assert "hunter2" not in card
    assert "/home/me" not in card
    assert str(tmp_path) not in card
    assert "base_model:" not in card  # a folder is no name on the hub
    assert "library_name: peft" in card
    assert "- Base model: base; this is a LoRA adapter of it\n" in card
    assert "AutoPeftModelForCausalLM" in card


def test_the_card_is_with_the_weights_and_has_their_accuracy(finished):
    result = json.loads((finished / "result.json").read_text())
    assert result["model"] == "checkpoints/step-2"
    card = (finished / result["model"] / "README.md").read_text()
    for task, measured in result["tasks"].items():
        assert f"| {task} | {measured['n']} | {measured['accuracy']:.3f} ± {measured['standard_error']:.3f} |" in card


def test_what_is_uploaded(finished):
    api, notes = Api(), []
    assert push_run(finished, "me/model", public=False, note=notes.append, api=api) == "https://hub.example/me/model"
    created, uploaded = api.told
    assert created == ("me/model", {"private": True, "exist_ok": True})
    model = finished / "checkpoints/step-2"
    assert (uploaded["folder_path"], uploaded["repo_id"]) == (str(model), "me/model")
    left = {file.name for file in model.iterdir()} - set(uploaded["ignore_patterns"])
    assert left == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [note.split(" (")[0] for note in notes] == [f"uploading {model}"]
    push_run(finished, "me/model", public=True, note=notes.append, api=api)
    assert api.told[2] == ("me/model", {"private": False, "exist_ok": True})


def test_an_adapter_whose_base_is_a_folder(finished):
    notes = []
    config = finished / "checkpoints/step-2/adapter_config.json"
    config.write_text('{"base_model_name_or_path": "/home/me/base"}')
    push_run(finished, "me/model", public=False, note=notes.append, api=Api())
    assert notes[0].startswith("the adapter names /home/me/base as its base, which others do not have")


@pytest.mark.parametrize("content", ["[]", "{}", '{"base_model_name_or_path": null}'])
def test_the_configuration_of_an_adapter_may_hold_anything(content, finished):
    (finished / "checkpoints/step-2/adapter_config.json").write_text(content)
    push_run(finished, "me/model", public=False, note=[].append, api=Api())


def refusal(status: int) -> Exception:
    error = RuntimeError("refused\nmore")
    error.response = SimpleNamespace(status_code=status)
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (refusal(401), r"me/model: the hub refuses \(status 401\); run 'hf auth login'"),
        (refusal(500), "me/model: the hub answers with status 500: refused"),
        (httpx.ConnectError("no such host"), "cannot be uploaded: no such host; check the connection"),
    ],
)
def test_a_hub_that_refuses(error, message, finished):
    with pytest.raises(BadInput, match=message) as caught:
        push_run(finished, "me/model", public=False, note=print, api=Api(error))
    assert "\n" not in str(caught.value)


def test_only_finished_runs_are_pushed(finished, tmp_path, capsys):
    assert main(["push", str(tmp_path / "nothing"), "me/model"]) == 2
    assert "nothing: no finished run (no result.json)" in capsys.readouterr().err
    assert main(["push", str(finished), "no name of a repository"]) == 2
    assert "write it as user/name" in capsys.readouterr().err
    (finished / "checkpoints/step-2").rename(tmp_path / "elsewhere")
    assert main(["push", str(finished), "me/model"]) == 2
    assert "no checkpoint with a README.md" in capsys.readouterr().err
