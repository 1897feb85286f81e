"""Runs of supervised fine-tuning: learning, exact resume, validation, metrics, checkpoints."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from omnithinker.errors import Interrupted, TrainingError
from omnithinker.io.files import read_json_lines
from omnithinker.policy.loading import load_policy
from omnithinker.train.checkpoint import list_checkpoints
from omnithinker.train.sft.demonstrations import end_token, split
from omnithinker.train.sft.trainer import SftTrainer
from omnithinker.train.sft.update import measure_loss, union
from tests.builders.policy import LORA
from tests.builders.sft import demonstrations_of, examples_of, sft
from tests.builders.training import Quiet, recipe_of, same, weights

SETTINGS = {
    "plain": ({}, {}),
    "two epochs, decay, no validation": (
        {},
        {"epochs": 2, "weight_decay": 0.1, "schedule": "constant", "max_steps": 5},
    ),
    "adapter": ({"held": LORA}, {}),
    "bfloat16": ({"held": {"compute": "bfloat16"}}, {}),
    "checkpoints every other update": ({"checkpoint_every": 2}, {}),
}


def records(folder):
    return [
        {name: value for name, value in record.items() if "second" not in name}
        for record in read_json_lines(folder / "metrics.jsonl")
    ]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_interrupted_equals_uninterrupted_bit_for_bit(name, stop_after, model_folder, tmp_path):
    training, settings = SETTINGS[name]
    recipe = recipe_of(model_folder, **training)
    learned, held_out = split(demonstrations_of(), items=None, validation_items=1, seed=0)
    data = {"demonstrations": learned, "validation": held_out, "validate_every": 2}
    whole = weights(sft(recipe, tmp_path / "whole", **data | settings))
    with pytest.raises(KeyboardInterrupt):
        sft(recipe, tmp_path / "parts", observer=Quiet(stop_after), **data | settings)
    assert same(whole, weights(sft(recipe, tmp_path / "parts", **data | settings)))
    assert records(tmp_path / "whole") == records(tmp_path / "parts")


def test_updates_are_those_of_a_plain_loop(model_folder, tmp_path):
    recipe = recipe_of(model_folder, max_grad_norm=0.5)
    one = demonstrations_of(2)[:1]
    settings = {"epochs": 3, "learning_rate": 1e-2, "schedule": "constant", "warmup_ratio": 0, "weight_decay": 0.1}
    trained = sft(recipe, tmp_path / "run", demonstrations=one, **settings)

    policy = load_policy(recipe.model)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-2, weight_decay=0.1)
    completion = [*policy.tokenizer.hf(one[0].completion)["input_ids"], policy.tokenizer.hf.eos_token_id]
    ids = torch.tensor([[*one[0].prompt.token_ids, *completion]])
    labels = ids.clone()
    labels[0, : len(one[0].prompt.token_ids)] = -100
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = policy.model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 0.5)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert [record["sft/loss"] for record in records(tmp_path / "run")] == pytest.approx(losses, rel=1e-4)
    for ours, theirs in zip(trained.model.parameters(), policy.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


def test_losses_fall_and_validation_is_that_of_the_weights(model_folder, tmp_path):
    learned, held_out = split(demonstrations_of(24), items=None, validation_items=3, seed=0)
    settings = {"demonstrations": learned, "validation": held_out, "epochs": 4, "validate_every": 5}
    policy = sft(recipe_of(model_folder), tmp_path / "run", **settings)
    lines = records(tmp_path / "run")
    assert len(lines) == 4 * 6  # 18 demonstrations in batches of 3
    assert lines[-1]["sft/loss"] < lines[0]["sft/loss"] - 1
    assert [line["step"] for line in lines if line["sft/val_loss"] is not None] == [5, 10, 15, 20, 24]
    assert lines[5]["sft/epoch"] == 1.0
    assert lines[0]["sft/examples"] == 3 == sum(lines[0].get(f"sft/task/{task}/examples", 0) for task in "ab")
    texts = [(one.prompt.task, one.prompt.text, one.completion) for one in held_out]
    expected = measure_loss(policy, examples_of(policy, texts), 10_000)
    assert lines[-1]["sft/val_loss"] == pytest.approx(union(expected).mean, rel=1e-5)
    assert lines[-1]["sft/task/b/val_loss"] == pytest.approx(expected["b"].mean, rel=1e-5)


def test_micro_batches_change_rounding_only(model_folder, tmp_path):
    small = weights(sft(recipe_of(model_folder, microbatch_tokens=1), tmp_path / "small"))
    large = weights(sft(recipe_of(model_folder), tmp_path / "large"))
    for one, two in zip(small, large, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_a_stop_request_checkpoints_the_finished_update(model_folder, tmp_path):
    class Stopper(Quiet):
        def on_step(self, metrics, total):
            if metrics.step == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    recipe = recipe_of(model_folder, checkpoint_every=100)
    with pytest.raises(Interrupted, match="after step 1"):
        sft(recipe, tmp_path / "run", observer=Stopper())
    assert [folder.name for folder in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-1"]


def test_updates_that_are_not_finite_are_skipped_and_stop_the_run(model_folder, tmp_path, monkeypatch):
    from omnithinker.train.sft import trainer

    real = trainer.compute_gradient

    def broken(policy, examples, budget):
        losses = real(policy, examples, budget)
        policy.trained[0].grad[:] = torch.inf
        return losses

    monkeypatch.setattr(trainer, "compute_gradient", broken)
    observer = Quiet()
    with pytest.raises(TrainingError, match="3 updates in a row"):
        sft(recipe_of(model_folder), tmp_path / "run", observer=observer)
    assert [line["sft/nonfinite"] for line in records(tmp_path / "run")] == [1, 1, 1]
    assert records(tmp_path / "run")[0]["sft/loss"] is None
    assert "update skipped; see" in observer.notes[0]
    unchanged = load_policy(recipe_of(model_folder).model)
    assert same(
        weights(load_policy(recipe_of(model_folder).model, tmp_path / "run/checkpoints/step-3")), weights(unchanged)
    )


def test_memory_that_runs_out_halves_the_micro_batches(model_folder, tmp_path, monkeypatch):
    from omnithinker.train.sft import trainer

    budgets, real = [], trainer.compute_gradient

    def tight(policy, examples, budget):
        budgets.append(budget)
        if budget > 50:
            raise torch.OutOfMemoryError("no memory")
        return real(policy, examples, budget)

    monkeypatch.setattr(trainer, "compute_gradient", tight)
    sft(recipe_of(model_folder, microbatch_tokens=100), tmp_path / "run", max_steps=1)
    assert budgets == [100, 50]


def test_held_out_demonstrations_are_never_learned():
    demonstrations = demonstrations_of(20)
    twice = [*demonstrations, *demonstrations[:10]]
    learned, held_out = split(twice, items=None, validation_items=3, seed=0)
    assert [one.prompt.task for one in held_out] == ["a"] * 3 + ["b"] * 3
    assert not {id(one) for one in learned} & {id(one) for one in held_out}
    assert not {one.completion for one in learned} & {one.completion for one in held_out}
    first, _ = split(demonstrations, items=4, validation_items=0, seed=0)
    assert first == [*demonstrations[:4], *demonstrations[10:14]]
    assert split(twice, items=None, validation_items=3, seed=0) == (learned, held_out)
    assert (
        split(demonstrations, items=None, validation_items=3, seed=1)[1]
        != split(demonstrations, items=None, validation_items=3, seed=0)[1]
    )
    alone, none = split(demonstrations[:1], items=None, validation_items=3, seed=0)
    assert (len(alone), len(none)) == (1, 0)


def test_the_end_token_is_the_one_that_the_chat_template_writes(policy):
    from dataclasses import replace

    ends = policy.tokenizer.end_ids
    assert end_token(policy.tokenizer) == ends[0]
    several = replace(policy.tokenizer, end_ids=(7, 8, *ends))
    assert end_token(several) == ends[0]
    several.hf.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"  # writes no end
    assert end_token(several) == several.hf.eos_token_id


def test_completions_are_tokenized_as_the_policy_would_write_them(policy):
    (example,) = examples_of(policy, [("a", "question", "an answer")])
    assert example.prompt_ids == policy.tokenizer.encode("question")
    assert policy.tokenizer.decode(example.completion_ids) == "an answer"
    assert example.completion_ids[-1] == end_token(policy.tokenizer)


def test_a_trainer_takes_demonstrations_from_anywhere(model_folder, tmp_path):
    recipe = recipe_of(model_folder)
    from omnithinker.config.warmup import WarmupSettings

    (tmp_path / "run").mkdir()
    one = demonstrations_of(2)[0]
    trainer = SftTrainer(recipe, WarmupSettings(), [one], [], tmp_path / "run", Quiet(), seed=0)
    assert trainer.train().step == 1
