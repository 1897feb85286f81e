"""``model.compute = "auto"``: when a CPU computes in bfloat16, and that a run keeps the format it started with."""

from __future__ import annotations

import pytest
import torch

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.policy import number_format
from omnithinker.policy.loading import load_policy
from omnithinker.policy.narrow import NarrowWeights
from omnithinker.rollout.base import Sampling, sample_seed
from omnithinker.train.folder import open_output_folder
from omnithinker.train.number_format import with_number_format
from tests.builders.policy import generate, prompt_of, settings_of


class Config:
    """Stands in for a transformers configuration."""

    def __init__(self, hidden_size):
        self.hidden_size = hidden_size

    def get_text_config(self):
        return self


@pytest.mark.parametrize(
    ("gain", "hidden", "gpu", "expected"),
    [
        (8.0, 576, False, True),
        (1.5, 576, False, True),
        (1.4, 576, False, False),
        (8.0, 256, False, True),
        (8.0, 255, False, False),
        (0.1, 255, True, True),
    ],
)
def test_a_cpu_narrows_large_models_where_it_is_clearly_faster(gain, hidden, gpu, expected, monkeypatch):
    monkeypatch.setattr(number_format, "bfloat16_gain", lambda hidden, intermediate: gain)
    assert number_format.fast_in_bfloat16(Config(hidden), gpu=gpu) == expected


def test_the_gain_compares_one_product_in_both_formats(monkeypatch):
    clock = iter([0.0, 3.0, 5.0, 7.0, 10.0, 10.5, 11.0, 11.5])
    monkeypatch.setattr(number_format, "REPEATS", 2)
    monkeypatch.setattr(number_format.time, "thread_time", lambda: next(clock))
    threads = torch.get_num_threads()
    # The shorter of two calls counts: 2 s in float32, 0.5 s in bfloat16.
    assert number_format.bfloat16_gain.__wrapped__(64, 128) == 4.0
    assert torch.get_num_threads() == threads


def recipe_with(model_folder, tmp_path, **model) -> Recipe:
    tasks = {"a": {"data": "lab:math", "rewards": {"math_answer": 1.0}}}
    settings = {"model": {"path": str(model_folder), "device": "cpu"} | model, "tasks": tasks}
    return Recipe.model_validate(settings | {"output": str(tmp_path)})


def test_a_run_keeps_the_format_that_it_started_with(model_folder, tmp_path, monkeypatch):
    recipe, notes = recipe_with(model_folder, tmp_path), []
    monkeypatch.setattr(number_format, "SMALLEST_HIDDEN", 1)
    monkeypatch.setattr(number_format, "bfloat16_gain", lambda hidden, intermediate: 8.0)
    first = with_number_format(recipe, notes.append, tmp_path)
    assert first.model.compute == "bfloat16"
    assert notes == ["matrix products in bfloat16, which this CPU computes much faster (model.compute)"]
    open_output_folder(tmp_path, first)
    monkeypatch.setattr(number_format, "bfloat16_gain", lambda hidden, intermediate: 0.5)
    resumed = with_number_format(recipe, notes.append, tmp_path)
    assert resumed == first == load_recipe(tmp_path / "recipe.toml")
    assert len(notes) == 1
    assert with_number_format(recipe, notes.append).model.compute == "float32"
    assert len(notes) == 1
    explicit = recipe_with(model_folder, tmp_path, compute="float32")
    assert with_number_format(explicit, notes.append, tmp_path) == explicit


@pytest.mark.parametrize("packed", [True, False])
def test_narrow_copies_change_no_bit_and_leave_the_weights(packed, model_folder, monkeypatch):
    if not packed:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    policy = load_policy(settings_of(model_folder, compute="bfloat16"))
    before = [weight.clone() for weight in policy.model.parameters()]
    prompts = [prompt_of(policy, text) for text in ("a", "b c")]
    arguments = (
        prompts,
        [[sample_seed(p, g) for g in range(3)] for p in range(2)],
        [Sampling(temperature=1.0, max_new_tokens=6)] * 2,
    )
    fast = dict(generate(policy, *arguments))
    assert all(map(torch.equal, before, policy.model.parameters()))
    monkeypatch.setattr(NarrowWeights, "in_use", lambda self: policy.autocast())
    assert dict(generate(policy, *arguments)) == fast


def test_copies_follow_the_weights_and_end_with_the_context(model_folder):
    policy = load_policy(settings_of(model_folder, compute="bfloat16"))
    head = policy.model.get_output_embeddings()
    states = torch.randn(3, head.in_features)
    with torch.no_grad():
        before = head(states)
        head.weight += 1
        with policy.autocast():
            expected = head(states)
        with NarrowWeights(policy).in_use():
            copies = head(states)
            head.weight -= 1
            assert torch.equal(head(states), copies)
        assert torch.equal(copies, expected)
        assert torch.allclose(head(states), before, atol=1e-5)
    assert head(states).dtype == torch.float32
